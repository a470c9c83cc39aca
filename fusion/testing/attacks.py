"""Check an attack."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any, get_args

import torch
from torch import Tensor

from fusion.attack import Attack, Block, Delta, Key, Norm, Region
from fusion.testing.expect import TOLERANCE, distance, expect, seed

SHAPES: dict[Key, tuple[int, ...]] = {("image", "x"): (3, 4, 4), ("audio", "x"): (50,)}
RADIUS, LOW, HIGH = 0.1, -0.08, 0.5
ABSENT, SPARED, ROWS = 1, 2, 4  # a row without an image, one that is left alone, all


def check_attack(attack: Callable[..., Delta], **options: Any) -> list[str]:
    """Check the attack `attack(harm, region, **options)`; return what passed."""
    return list(_checks(partial(attack, **options)))


def _checks(attack: Attack) -> Iterator[str]:
    norms: tuple[Norm, ...] = get_args(Norm)
    for norm, harm in product(norms, (linear, curved, constant)):
        _inside(attack(harm, region(norm)), region(norm), f"{norm}, {harm.__name__} harm")
    yield "what it returns is finite, in the ball, and in the range of samples, under either norm"

    for norm in norms:
        delta = attack(linear, region(norm))
        spared = {key: part[region(norm).blocks[key].rows == SPARED] for key, part in delta.items()}
        expect(all(not bool(part.any()) for part in spared.values()), "it moves a row of radius 0", "none")
        before = linear(region(norm).zero())
        raised = (linear(delta) > before) | (torch.arange(ROWS) == SPARED)
        expect(raised.all(), "it does not raise a harm that grows in one direction", "it to, for every row")
    yield "it raises a linear harm of every row, and leaves a row of radius 0 alone"

    first = attack(curved, region("linf"))
    with seed(1):
        again = attack(curved, region("linf"))
    same = all(torch.equal(part, again[key]) for key, part in first.items())
    expect(same, "another call gives another perturbation", "all that is random to come from the region")
    yield "it gives the same again, whatever was drawn in between"

    for row in range(ROWS):
        alone = attack(partial(curved, row=row), region("linf", row))
        for key, part in alone.items():
            whole = first[key][region("linf").blocks[key].rows == row]
            expect(
                distance(part, whole) < TOLERANCE,
                f"a row by itself is moved otherwise by {distance(part, whole):.1e}",
                "the same in any batch",
            )
    yield "a row is moved alike in any batch"


def region(norm: Norm, row: int | None = None) -> Region:
    """Return a region for four rows, or for one of them: one has no image, and one is left alone."""
    blocks = {}
    chosen = list(range(ROWS)) if row is None else [row]
    for key, shape in SHAPES.items():
        rows = [place for place in chosen if place != ABSENT or key[0] != "image"]
        if not rows:
            continue
        radius = torch.tensor([0.0 if place == SPARED else RADIUS for place in rows])
        low, high = (torch.full((len(rows), *shape), bound) for bound in (LOW, HIGH))
        places = torch.tensor([chosen.index(place) for place in rows])
        blocks[key] = Block(low, high, radius.reshape(-1, *(1 for _ in shape)), places)
    return Region(blocks, norm, torch.tensor(chosen))


def linear(delta: Delta) -> Tensor:
    """Return a harm that grows in one direction."""
    return _sum(delta, lambda part, weight: part * weight)


def curved(delta: Delta, row: int | None = None) -> Tensor:
    """Return a harm with several summits, of all rows or of one."""
    return _sum(delta, lambda part, weight: (30 * part * weight).sin() + part * weight, row)


def constant(delta: Delta) -> Tensor:
    """Return a harm that nothing changes."""
    return _sum(delta, lambda part, weight: 0 * part)


def _sum(delta: Delta, of: Callable[[Tensor, Tensor], Tensor], row: int | None = None) -> Tensor:
    chosen = list(range(ROWS)) if row is None else [row]
    total = torch.zeros(len(chosen))
    for key, part in delta.items():
        weight = torch.randn(SHAPES[key], generator=torch.Generator().manual_seed(0))
        rows = [place for place in chosen if place != ABSENT or key[0] != "image"]
        places = torch.tensor([chosen.index(place) for place in rows])
        total = total.index_add(0, places, of(part, weight).flatten(1).sum(dim=1))
    return total


def _inside(delta: Delta, within: Region, where: str) -> None:
    expect(
        isinstance(delta, dict) and delta.keys() == within.blocks.keys(),
        f"it returns {type(delta).__name__}",
        "a perturbation for every input of the region",
    )
    for key, block in within.blocks.items():
        part = delta[key]
        expect(part.shape == block.low.shape, f"{key} has shape {tuple(part.shape)}", f"{block.low.shape}")
        expect(part.isfinite().all(), f"{where}: {key} is NaN or infinite", "finite numbers")
        flat = part.flatten(1)
        length = flat.abs().amax(dim=1) if within.norm == "linf" else flat.norm(dim=1)
        over = (length - block.radius.flatten()).max().item()
        expect(over < TOLERANCE, f"{where}: it leaves the ball by {over:.1e}", "project()")
        out = torch.maximum(part - block.high, block.low - part).max().item()
        expect(out < TOLERANCE, f"{where}: it leaves the range of samples by {out:.1e}", "project()")
