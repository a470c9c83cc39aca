"""Check a merging."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from fusion.merging import Merging
from fusion.tensors import SPAN, Stored, stored, write
from fusion.testing.expect import TOLERANCE, distance, expect

MOST = 3  # runs
SHAPES = {"scalar": (), "bias": (7,), "weight": (5, 3), "large": (SPAN + 9,)}
TYPES = (torch.float32, torch.bfloat16)


def check_merging(build: Callable[..., Merging], **options: Any) -> list[str]:
    """Check the merging that `build(**options)` returns, on up to three runs; return what passed."""
    with TemporaryDirectory() as folder:
        return list(_checks(build, options, Path(folder)))


def _checks(build: Callable[..., Merging], options: dict[str, Any], folder: Path) -> Iterator[str]:
    merging = _built(build, options)
    weights = _weights(merging)
    counts = " or ".join(map(str, weights))
    expect(bool(weights), f"it takes neither of 1 to {MOST} runs", "weigh([], runs) to accept some number")
    yield f"without weights it merges {counts} runs"

    for runs, numbers in weights.items():
        chosen = merging.choose(list(numbers), lambda trial: -abs(trial[0] - 0.5))
        expect(_fits(chosen, runs), f"choose gives {runs} runs {chosen}", "a finite weight for each")
    yield "what it chooses is a finite weight for each run"

    runs, numbers = next(reversed(weights.items()))
    files = {
        dtype: [_file(folder / f"{dtype}{run}", dtype, run) for run in range(runs + 1)] for dtype in TYPES
    }
    for dtype, (origin, *given) in files.items():
        for name, shape in SHAPES.items():
            merged = _merge(merging, name, given, numbers, origin)
            found = f"{name} comes out as {merged.dtype} {tuple(merged.shape)}"
            expect((merged.dtype, merged.shape) == (dtype, shape), found, f"{dtype} {shape} as in all runs")
            expect(merged.isfinite().all(), f"{name} of finite tensors is not finite", "finite numbers")
    yield "tensors keep shape and type, and finite ones stay finite"

    origin, *given = files[torch.float32]
    other = _built(build, options)
    first = {name: _merge(merging, name, given, numbers, origin) for name in SHAPES}
    again = {name: _merge(other, name, given, numbers, origin) for name in reversed(SHAPES)}
    same = all(torch.equal(first[name], again[name]) for name in SHAPES)
    expect(same, "the same tensors come out otherwise in another order", "the name alone to decide")
    yield "what comes out depends on the options and the name, to the bit"

    for run in range(runs if runs > 1 else 0):
        part = [0.0 if number == run else weight for number, weight in enumerate(numbers)]
        there = [*given]
        there[run] = {name: tensor._replace(path=folder / "none") for name, tensor in given[run].items()}
        try:
            _merge(merging, "weight", there, part, origin)
        except FileNotFoundError:
            expect(False, f"it reads run {run}, whose weight is 0", "it not to be read")
    yield "a run with weight 0 is not read"

    for name in SHAPES:
        far = distance(_merge(merging, name, [origin] * runs, numbers, origin), origin[name].whole())
        expect(far <= TOLERANCE, f"equal runs give {name} that differs by {far:.1e}", "them to come back")
    yield "runs that are all equal to the base come back"


def _merge(
    merging: Merging,
    name: str,
    runs: Sequence[Mapping[str, Stored]],
    weights: Sequence[float],
    base: Mapping[str, Stored],
) -> Tensor:
    tensors = [one[name] for one in runs]
    return merging.merge(name, tensors, weights, base[name] if merging.needs_base else None)


def _built(build: Callable[..., Merging], options: dict[str, Any]) -> Merging:
    merging = build(**options)
    expect(isinstance(merging, Merging), f"it builds a {type(merging).__name__}", "a fusion.Merging")
    return merging


def _weights(merging: Merging) -> dict[int, list[float]]:
    """Return the weights by the numbers of runs that it takes."""
    found = {}
    for runs in range(1, MOST + 1):
        try:
            found[runs] = merging.weigh([], runs)
        except ValueError:
            continue
        expect(_fits(found[runs], runs), f"weigh gives {runs} runs {found[runs]}", "a finite weight for each")
    return found


def _fits(weights: Sequence[float], runs: int) -> bool:
    return len(weights) == runs and bool(torch.tensor(weights).isfinite().all())


def _file(path: Path, dtype: torch.dtype, run: int) -> dict[str, Stored]:
    random = torch.Generator().manual_seed(run)
    write(path, {name: torch.randn(shape, generator=random).to(dtype) for name, shape in SHAPES.items()})
    return stored(path)
