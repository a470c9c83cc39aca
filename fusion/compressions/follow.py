"""Follow channels through a forward: which slices of which parameters belong together.

Channels are numbered where a layer makes them. Numbers go where values go: what moves values moves them, and
what computes one value of several makes one class of their channels. A class can be taken from all parameters
at once (the dependency graph of Fang et al. 2023, DepGraph, drawn by values and not by layers). What is not
known to keep channels apart, such as an operator that has no rule, makes its channels stay.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from fusion.compressions.classes import STAY, Classes
from fusion.compressions.layers import Layer, layer_of
from fusion.compressions.operators import COPIES, MOVES, POINTWISE, VIEWS, rule_of


class Slices(NamedTuple):
    """A parameter, or buffer, that is cut along an axis."""

    path: str
    dim: int
    numbers: Tensor  # of the channels along that axis

    @property
    def layer(self) -> str:
        return self.path.rpartition(".")[0]


class Followed(NamedTuple):
    """What a forward has shown; classes of `numbers` that are not 0 can be removed."""

    classes: Classes
    slices: list[Slices]


def follow(module: nn.Module, run: Callable[[], Sequence[Tensor]]) -> Followed:
    """Follow the channels of a module in eval mode while `run` calls it; what that returns has to stay."""
    following = Following(module)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it computes a whole layer in one operator
    try:
        with torch.no_grad(), following:
            for output in run():
                following.stay(output)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        following.close()
    return Followed(following.classes, following.slices())


class Following(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator of a forward; inside of known layers, the layer as a whole."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.classes = Classes()
        self._numbers: dict[int, tuple[Tensor, Tensor]] = {}  # by the id of a tensor, which is kept alive
        self._owner: dict[int, str] = {}  # the layer of a parameter, by its id
        self._read: set[str] = set()  # layers whose parameters are read from outside, or by two of them
        self._slices: dict[str, list[Slices]] = {}  # of the layers that were called
        self._inside = 0
        self._hooks = []
        parts: set[nn.Module] = set()  # of layers that are known as a whole
        for path, part in module.named_modules():
            if part in parts or (layer := layer_of(part)) is None:
                continue
            parts.update(part.modules())
            for parameter in part.parameters():
                other = self._owner.setdefault(id(parameter), path)
                self._read |= {path, other} if other != path else set()
            leave = self._leave(path, part, layer)
            self._hooks += [
                part.register_forward_pre_hook(self._enter),
                part.register_forward_hook(leave, with_kwargs=True),
            ]

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def slices(self) -> list[Slices]:
        """Return what can be cut, after what has to stay is known."""
        for path in self._read & self._slices.keys():
            for part in self._slices[path]:
                self.classes.join(part.numbers, STAY)
        return [part for parts in self._slices.values() for part in parts]

    def stay(self, *tensors: Tensor) -> None:
        """Let all channels of these stay."""
        for tensor in tensors:
            if (numbers := self.numbers(tensor)) is not None:
                self.classes.join(numbers, STAY)

    def numbers(self, tensor: Any) -> Tensor | None:
        """Return the number of each value's channel; None where all have to stay."""
        _, numbers = self._numbers.get(id(tensor), (None, None))
        return numbers if numbers is not None and bool(self.classes.of(numbers).any()) else None

    def give(self, tensor: Tensor, numbers: Tensor) -> None:
        self._numbers[id(tensor)] = tensor, numbers

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not self._inside:
            self._note(func, args, dict(kwargs or {}), out)
        return out

    def _note(self, func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, Tensor)]
        self._read |= {self._owner[id(part)] for part in tensors if id(part) in self._owner}
        known = [part for part in tensors if self.numbers(part) is not None]
        if not known:
            return
        name = func._schema.name.removeprefix("aten::")
        pointwise = isinstance(out, Tensor) and (torch.Tag.pointwise in func.tags or name in POINTWISE)
        if func._schema.is_mutable:
            if pointwise and self.numbers(args[0]) is not None:
                self.meet(args[0].shape, tensors)
            else:
                self.stay(*known)
        elif pointwise:
            self.give(out, self.meet(out.shape, tensors))
        elif name in COPIES:
            self.give(out, self._numbers[id(args[0])][1])
        elif name in MOVES and all(part.is_floating_point() for part in known):  # an index is no value
            given = tree_map_only(Tensor, self._or_zeros, args)
            moved = given[0].reshape(given[1]) if name in VIEWS else func(*given, **kwargs)
            for part, numbers in zip(tree_flatten(out)[0], tree_flatten(moved)[0], strict=True):
                self.give(part, numbers)
        else:
            rule = rule_of(name)
            numbers = rule(self, args, kwargs, tree_flatten(out)[0][0]) if rule else None
            if numbers is None:
                self.stay(*known)
            else:
                self.give(tree_flatten(out)[0][0], numbers)

    def _or_zeros(self, tensor: Tensor) -> Tensor:
        """Return the numbers of values, zeros where they have none; an index stays an index."""
        if id(tensor) in self._numbers:
            return self._numbers[id(tensor)][1]
        return torch.zeros_like(tensor, dtype=torch.long) if tensor.is_floating_point() else tensor

    def meet(self, shape: torch.Size, tensors: list[Tensor]) -> Tensor:
        """Return the numbers of what is computed value by value of tensors that are broadcast."""
        known = [numbers for part in tensors if (numbers := self.numbers(part)) is not None]
        met = known[0].expand(shape)
        for numbers in known[1:]:
            self.classes.join(met, numbers.expand(shape))
        for tensor in tensors:
            if self.numbers(tensor) is None:
                self.meet_other(met, tensor)
        return met

    def meet_other(self, numbers: Tensor, tensor: Tensor) -> None:
        """Let channels stay where a tensor that has none has values of its own along their axis."""
        dims = [dim for dim in range(-tensor.ndim, 0) if tensor.shape[dim] > 1 and tensor.stride(dim) != 0]
        if self.varies(numbers, *dims):
            self.classes.join(numbers, STAY)

    def varies(self, numbers: Tensor, *dims: int) -> bool:
        """Whether there are several channels along some axes."""
        for dim in dims:
            if numbers.shape[dim] > 1 and numbers.stride(dim) != 0:
                classes = self.classes.of(numbers)
                if bool((classes != classes.narrow(dim, 0, 1)).any()):
                    return True
        return False

    def _enter(self, *_: Any) -> None:
        self._inside += 1

    def _leave(self, path: str, module: nn.Module, layer: Layer) -> Callable[..., None]:
        outs, intos = self.classes.new(layer.out), self.classes.new(layer.into)
        slices = [
            Slices(f"{path}.{name}" if path else name, axis, numbers[layer.places(part.shape[axis])])
            for side, numbers in ((layer.outs, outs), (layer.intos, intos))
            for name, axis in side
            if (part := _part(module, name)) is not None
        ]

        def leave(_: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            if self._inside == 1:
                self._slices[path] = slices
                self._through(layer, outs, intos, [*args, *kwargs.values()], out)
            self._inside -= 1

        return leave

    def _through(self, layer: Layer, outs: Tensor, intos: Tensor, given: list[Any], out: Any) -> None:
        """Bring the numbers of what a layer was given and of its own together, and give its output those."""
        if not layer.axis:
            self.stay(*(part for part in given if isinstance(part, Tensor)))
            return
        known = self.numbers(given[0])
        along = _along(intos if layer.into else outs, layer.axis, given[0])
        self.classes.join(along, STAY if known is None else known)
        self.give(out, _along(outs, layer.axis, out).expand(out.shape))


def _along(numbers: Tensor, axis: int, tensor: Tensor) -> Tensor:
    """Return numbers (c,) along an axis of a tensor, to be broadcast."""
    shape = [1] * tensor.ndim
    shape[axis] = len(numbers)
    return numbers.view(shape)


def _part(module: nn.Module, name: str) -> Tensor | None:
    for owner in name.split(".")[:-1]:
        module = module.get_submodule(owner)
    return getattr(module, name.rpartition(".")[2], None)
