"""Take channels from the parameters of a module, and find what else its forward knows of their number."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from fusion.compressions.follow import Followed
from fusion.compressions.layers import layer_of, refit, replacement
from fusion.encoder import Encoder

Run = Callable[[nn.Module], Sequence[Tensor]]
TOLERANCE = 1e-4
"""By how much of the largest number outputs may differ; rounding alone makes 1e-6, in deep encoders 1e-5."""


class Family(NamedTuple):
    """Classes of channels in the same parameters: the channels, or heads, of one layer or of several."""

    paths: tuple[str, ...]  # of the parameters
    classes: Tensor  # (c,)
    numbers: Mapping[str, tuple[str, ...]] = {}  # by module, its attributes that are proportional to c

    @property
    def layers(self) -> list[str]:
        return list(dict.fromkeys(path.rpartition(".")[0] for path in self.paths))

    @property
    def name(self) -> str:
        """The layer where the channels are made."""
        return self.layers[0]


def families(followed: Followed) -> list[Family]:
    """Return what can be removed, one class of several; a family of one class is not there."""
    where: dict[int, list[int]] = {}
    for number, part in enumerate(followed.slices):
        for found in set(followed.classes.of(part.numbers).tolist()):
            where.setdefault(found, []).append(number)
    where.pop(0, None)
    grouped: dict[tuple[int, ...], list[int]] = {}
    for found, numbers in where.items():
        grouped.setdefault(tuple(numbers), []).append(found)
    return [
        Family(tuple(followed.slices[number].path for number in numbers), torch.tensor(sorted(classes)))
        for numbers, classes in grouped.items()
        if len(classes) > 1
    ]


def score(followed: Followed, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the numbers of each class, over the tensors that it lies in; 0 for other classes."""
    total = torch.zeros(followed.classes.count)
    for part in followed.slices:
        if (tensor := tensors.get(part.path)) is not None:
            along = tensor.float().movedim(part.dim, 0).reshape(tensor.shape[part.dim], -1).sum(1)
            total.index_add_(0, followed.classes.of(part.numbers), along)
    return total


@torch.no_grad()
def mask(module: nn.Module, followed: Followed, removed: Tensor) -> None:
    """Set all parameters of some classes to zero: what is left when they are cut computes the same."""
    for part in followed.slices:
        gone = torch.isin(followed.classes.of(part.numbers), removed)
        _tensor(module, part.path).movedim(part.dim, 0)[gone] = 0


def cut(module: nn.Module, followed: Followed, removed: Tensor) -> dict[str, tuple[int, ...]]:
    """Take some classes from all parameters; return the new shapes of those that have changed."""
    tensors: dict[str, Tensor] = {}
    for part in followed.slices:
        kept = ~torch.isin(followed.classes.of(part.numbers), removed)
        if not kept.all():
            before = tensors.get(part.path, _tensor(module, part.path).detach())
            tensors[part.path] = before.index_select(part.dim, kept.nonzero().flatten())
    put(module, tensors)
    return {path: tuple(tensor.shape) for path, tensor in tensors.items()}


def put(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors of other shapes in the place of parameters and buffers, and have their layers know."""
    for owner in dict.fromkeys(path.rpartition(".")[0] for path in tensors):
        layer = module.get_submodule(owner)
        if (other := replacement(layer)) is not layer:
            module.set_submodule(owner, other.train(layer.training))
    for path, tensor in tensors.items():
        _tensor(module, path).data = tensor
    for owner in dict.fromkeys(path.rpartition(".")[0] for path in tensors):
        refit(module.get_submodule(owner))


def proven(encoder: Encoder, followed: Followed, family: Family, strongest: Tensor, run: Run) -> Family | str:
    """Return the family, with the attributes that go with its size, when an encoder without one class runs,
    and computes what it does when the parameters of that class are zero. Otherwise, why it does not.
    """
    removed = strongest.view(1)
    expected = with_zeros(encoder, followed, removed, run)
    reasons = []
    for numbers in ({}, _numbers(encoder, followed, family)):
        trial, found = copied(encoder), family._replace(numbers=numbers)
        cut(trial, followed, removed)
        scale(trial, found, len(family.classes) - 1)
        if not (reason := difference(expected, trial, run)):
            return found
        reasons.append(f"without one it {reason}")
    return reasons[0]


def difference(expected: Sequence[Tensor], encoder: Encoder, run: Run) -> str:
    """Say what an encoder does other than to give the expected outputs; nothing where it gives them."""
    try:
        far = distance(expected, run(encoder))
    except Exception as error:  # a forward raises what it likes where a shape is not what it expects
        return f"does not run: {' '.join(str(error).split())[:120]}"
    return "" if far <= TOLERANCE else f"gives outputs that are {far:.1e} from those with zeros"


def with_zeros(encoder: Encoder, followed: Followed, removed: Tensor, run: Run) -> Sequence[Tensor]:
    """Return what an encoder computes with zeros in the place of all parameters of some classes."""
    masked = copied(encoder)
    mask(masked, followed, removed)
    return run(masked)


def scale(module: nn.Module, family: Family, kept: int) -> dict[str, dict[str, int]]:
    """Let the attributes that count channels say that `kept` are left; return their values."""
    values: dict[str, dict[str, int]] = {}
    for path, names in family.numbers.items():
        held = vars(module.get_submodule(path))
        values[path] = {name: held[name] * kept // len(family.classes) for name in names}
        held.update(values[path])
    return values


def distance(expected: Sequence[Tensor], given: Sequence[Tensor]) -> float:
    """Return the largest difference, as a share of the largest number expected; NaN where either has one."""
    if [part.shape for part in expected] != [part.shape for part in given]:
        return torch.inf
    far = [
        (one - other).abs().max() / one.abs().max().clamp(min=1e-30)
        for one, other in zip(expected, given, strict=True)
    ]
    return float(torch.stack(far).max())


def _numbers(module: nn.Module, followed: Followed, family: Family) -> dict[str, tuple[str, ...]]:
    """Return the whole numbers in the modules around the layers of a family that may count its channels."""
    count = len(family.classes)
    sizes = {count}
    for part in followed.slices:
        if part.path in family.paths and torch.isin(followed.classes.of(part.numbers), family.classes).all():
            sizes.add(len(part.numbers))
    layers = [path.split(".")[:-1] for path in family.paths]
    shared = 0
    while len({tuple(layer[: shared + 1]) for layer in layers}) == 1:
        shared += 1
    around = {".".join(layer[:end]) for layer in layers for end in range(min(shared, len(layer)), len(layer))}
    found = {
        path: tuple(
            name
            for name, value in vars(module.get_submodule(path)).items()
            if type(value) is int and value in sizes
        )
        for path in sorted(around)
        if layer_of(module.get_submodule(path)) is None
    }
    return {path: names for path, names in found.items() if names}


def copied(encoder: Encoder) -> Encoder:
    """Return a copy, in eval mode, that has the processor, which holds no weights, in common."""
    memo: dict[int, Any] = {id(encoder.processor): encoder.processor}
    return copy.deepcopy(encoder, memo).eval()


def _tensor(module: nn.Module, path: str) -> Tensor:
    owner, _, name = path.rpartition(".")
    return cast(Tensor, getattr(module.get_submodule(owner), name))
