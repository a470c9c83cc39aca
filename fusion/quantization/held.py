"""Modules whose matrices are kept as integers, in place, whatever class they are of."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fusion.quantization import layers
from fusion.quantization.rounding import Form, Integers


class Kind(NamedTuple):
    """What is known of a class of modules: its matrices, and how they are multiplied as integers."""

    matrices: tuple[str, ...]
    methods: tuple[str, ...]  # with these of its own, a subclass computes something else
    forward: Callable[..., Any]
    usual: Callable[[Any], bool] = lambda module: True  # whether `forward` is for this one
    multiplies: bool = True  # whether `forward` does


KINDS: dict[type[nn.Module], Kind] = {
    nn.Linear: Kind(("weight",), ("forward",), layers.linear),
    nn.Conv1d: Kind(("weight",), ("forward", "_conv_forward"), layers.convolution, layers.has_one_group),
    nn.Conv2d: Kind(("weight",), ("forward", "_conv_forward"), layers.convolution, layers.has_one_group),
    nn.Embedding: Kind(("weight",), ("forward",), layers.embedding, multiplies=False),
    nn.MultiheadAttention: Kind(
        ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"),
        ("forward",),
        layers.attention,
        layers.has_one_projection,
    ),
}


class Held(nn.Module):
    """What a module of any class is turned into; whoever reads its matrix gets floats.

    Either the matrix is kept as integers, or, while it learns, as the parameter that it was, and is rounded
    at every use.
    """

    multiplies = False
    """Whether its forward is one of integers; else only the matrix is rounded."""

    forms: dict[str, Form]
    shapes: dict[str, torch.Size]
    kept: dict[str, Any]  # what follows from the buffers; computed when it is first needed

    def learns(self, name: str) -> bool:
        return self._parameters.get(name, self) is not None  # a parametrisation has taken it from there

    def integers(self, name: str) -> Integers:
        """Return a matrix that does not learn as codes and scales, laid out as products read them."""
        key = f"{name}_integers"
        if key not in self.kept:
            form = self.forms[name]
            parts = {suffix: self.get_buffer(f"{name}_{suffix}") for suffix in form.suffixes}
            codes, scale = form.integers(parts, self.shapes[name])
            self.kept[key] = Integers(_laid_out(self, codes), scale)
        return self.kept[key]  # type: ignore[no-any-return]

    def floats(self, name: str) -> Tensor | None:
        """Return a matrix as floats, rounded; None where there is none."""
        if name not in self.forms or self.learns(name):
            weight = learned(self, name)
            return weight if weight is None or name not in self.forms else self.forms[name].rounded(weight)
        if name not in self.kept:
            self.kept[name] = self.integers(name).floats().contiguous()
        return self.kept[name]  # type: ignore[no-any-return]

    def forget(self) -> None:
        """Forget what was computed of the buffers."""
        self.kept.clear()
        for name in self.forms:
            self.__dict__.pop(name, None)

    def _apply(self, *args: Any, **options: Any) -> Any:  # to another device
        self.forget()
        return super()._apply(*args, **options)  # type: ignore[no-untyped-call]

    def _load_from_state_dict(self, *args: Any) -> None:
        self.forget()
        super()._load_from_state_dict(*args)


class Layerwise(nn.TransformerEncoder):
    """Calls its layers one by one: torch's path for nested tensors reads their weights."""

    use_nested_tensor = property(lambda self: False)


class Stepwise(nn.TransformerEncoderLayer):
    """Calls its modules one by one: torch's path for evaluation reads their weights."""

    activation_relu_or_gelu = property(lambda self: 0)


def matrices(model: nn.Module, least: int) -> list[tuple[str, nn.Module, str]]:
    """Return what can be kept as integers: the name of a module, the module, and the name of its parameter.

    These are matrices of at least `least` numbers, in modules of classes that are known.
    """
    return [
        (name, module, matrix)
        for name, module in model.named_modules()
        if (kind := kind_of(module)) is not None
        for matrix in kind.matrices
        if (weight := learned(module, matrix)) is not None and weight.numel() >= least
    ]


class Temporary(nn.Module):
    """A parametrisation of a weight that is only there for a training, and gone before a matrix is held."""


def kind_of(module: nn.Module) -> Kind | None:
    """Return what is known of the class of a module; None where nothing is, or it changes its matrix."""
    found = next((kind for known, kind in KINDS.items() if isinstance(module, known)), None)
    changing = isinstance(module, nn.Embedding) and module.max_norm is not None
    plain = found is not None and not changing and all(_stays(module, name) for name in found.matrices)
    return found if plain else None


def _stays(module: nn.Module, matrix: str) -> bool:
    """Whether a parameter is one, or will be one again when what is only for training is gone."""
    if not parametrize.is_parametrized(module, matrix):
        return matrix in module._parameters
    chains: Any = module.parametrizations
    return all(isinstance(part, Temporary) for part in chains[matrix])


def learned(module: nn.Module, matrix: str) -> Tensor | None:
    """Return a matrix that learns as it is, not rounded, but masked where it is; None where there is none."""
    if not parametrize.is_parametrized(module, matrix):
        return module._parameters[matrix]
    chains: Any = module.parametrizations
    weight: Tensor = chains[matrix]()
    return weight


def hold(module: nn.Module, matrix: str, form: Form, multiplied: int) -> None:
    """Keep a parameter as integers; from `multiplied` numbers on they are multiplied as such.

    Raises ValueError where it holds NaN or infinity.
    """
    parts = form.encode(parameter(module, matrix))
    rehearse(module, matrix, form, multiplied)
    module._parameters[matrix] = None  # its place among the others stays
    for suffix, part in parts.items():
        module.register_buffer(f"{matrix}_{suffix}", _laid_out(module, part) if part.ndim > 1 else part)


def rehearse(module: nn.Module, matrix: str, form: Form, multiplied: int) -> None:
    """Let a module learn with its matrix, and what it is multiplied with, rounded as they will be."""
    weight = learned(module, matrix)
    assert weight is not None
    if not isinstance(module, Held):
        module.forms, module.shapes, module.kept = {}, {}, {}  # type: ignore[assignment]
        module.__class__ = _class(module, weight.numel() >= multiplied)
    assert isinstance(module, Held)
    module.forms[matrix], module.shapes[matrix] = form, weight.shape


def parameter(module: nn.Module, matrix: str) -> nn.Parameter:
    """Return a matrix that learns as it is, not rounded."""
    found = module._parameters[matrix]
    assert found is not None
    return found


def release(module: nn.Module, learning: bool = False) -> None:
    """Give a module its class back, and parameters where it has integers; `learning`: if it has none."""
    if not isinstance(module, Held) or (learning and not all(map(module.learns, module.forms))):
        return
    module.forget()
    for matrix in module.forms:
        if not module.learns(matrix):
            parameter = nn.Parameter(module.integers(matrix).floats().contiguous())
            for suffix in module.forms[matrix].suffixes:
                del module._buffers[f"{matrix}_{suffix}"]
            module._parameters[matrix] = parameter
    module.__class__ = type(module).__bases__[1]
    del module.forms, module.shapes, module.kept


def settle(model: nn.Module) -> None:
    """Keep torch's transformers from paths around modules that multiply integers, and from no others."""
    for ours in (Layerwise, Stepwise):
        [plain] = ours.__bases__
        for module in model.modules():
            if type(module) in (ours, plain):
                multiplies = any(isinstance(part, Held) and part.multiplies for part in module.modules())
                module.__class__ = ours if multiplies else plain


def _class(module: nn.Module, multiplied: bool) -> type[nn.Module]:
    """Return the class of a module whose matrices are computed, and its forward where that is known."""
    own, kind = type(module), kind_of(module)
    known = next(known for known in KINDS if isinstance(module, known))
    assert kind is not None
    held: dict[str, Any] = {name: _Floats(name) for name in kind.matrices}
    same = all(getattr(own, method) is getattr(known, method) for method in kind.methods)
    if same and kind.usual(module) and multiplied:
        held |= {"forward": kind.forward, "multiplies": kind.multiplies}
    return type(f"Held{own.__name__}", (Held, own), held)


class _Floats:
    """A matrix as floats. One that does not learn is then an attribute of the module, which costs no call."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, module: Held, owner: type[nn.Module]) -> Tensor | None:
        found = module.floats(self.name)
        if self.name in module.forms and not module.learns(self.name):
            module.__dict__[self.name] = found  # looked up before this, which has no __set__
        return found


def _laid_out(module: nn.Module, codes: Tensor) -> Tensor:
    """Return the same codes in the order in which products read them: outputs side by side."""
    if isinstance(module, nn.Embedding):
        return codes.contiguous()
    order = (*range(2, codes.ndim), 1, 0)
    back = [order.index(axis) for axis in range(codes.ndim)]
    return codes.permute(order).contiguous().permute(back)
