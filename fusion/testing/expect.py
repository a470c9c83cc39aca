"""What the checks share: say what was found and what is expected, build with a seed, compare."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fusion.errors import PluginError
from fusion.training.checkpoint import write_tensors

TOLERANCE = 1e-5
TIMES = 10  # that something has to come out the same


def expect(holds: bool | Tensor, found: str, expected: str) -> None:
    """Raise PluginError with both unless it holds."""
    if not holds:
        raise PluginError(f"{found}; expected {expected}")


@contextmanager
def seed(number: int) -> Iterator[None]:
    """Seed torch inside, and leave its generator outside as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        yield


@contextmanager
def unchanged(what: str, *given: Mapping[str, Tensor]) -> Iterator[None]:
    """Expect that what happens inside changes none of these mappings and no number in them."""
    before = [{name: part.detach().clone() for name, part in parts.items()} for parts in given]
    yield
    for parts, old in zip(given, before, strict=True):
        expect(
            same_bits(parts, old),
            f"{what} changes what it is given ({', '.join(old)})",
            "new tensors and mappings: what comes after reads the same ones",
        )


def build_seeded(
    build: Callable[..., Any], kind: type[nn.Module], number: int, *given: Any, **options: Any
) -> Any:
    """Build a component with known random weights."""
    with seed(number):
        built = build(*given, **options)
    expect(isinstance(built, kind), f"it builds a {type(built).__name__}", f"a fusion.{kind.__name__}")
    return built


def move_weights(trained: nn.Module, fresh: nn.Module) -> None:
    """Save one module as a run does and load it into another."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        write_tensors(path, trained.state_dict())
        fresh.load_state_dict(load_file(path))


def distance(one: Tensor, other: Tensor) -> float:
    """Return the largest difference, relative where the numbers are above 1; infinite for other shapes."""
    if one.shape != other.shape:
        return float("inf")
    if not one.numel():
        return 0.0
    return ((one - other).abs().max() / other.abs().max().clamp(min=1)).item()


def same_bits(one: Mapping[str, Tensor | None], other: Mapping[str, Tensor | None]) -> bool:
    """Whether both hold the same names and the same numbers, NaN being equal to itself."""
    return one.keys() == other.keys() and all(
        (mine is None and yours is None)
        or (mine is not None and yours is not None and mine.dtype == yours.dtype and _equal(mine, yours))
        for mine, yours in zip(one.values(), (other[name] for name in one), strict=True)
    )


def reached(module: nn.Module) -> None:
    """Expect that the gradient has reached every trainable parameter, and is finite."""
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            expect(
                parameter.grad is not None,
                f"parameter {name!r} gets no gradient",
                "every parameter to take part; mark others with requires_grad_(False)",
            )
            finite = parameter.grad is None or bool(parameter.grad.isfinite().all())
            expect(finite, f"the gradient of parameter {name!r} is NaN or infinite", "finite numbers")


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    if one.is_floating_point():
        return torch.equal(one.nan_to_num(), other.nan_to_num()) and torch.equal(one.isnan(), other.isnan())
    return torch.equal(one, other)
