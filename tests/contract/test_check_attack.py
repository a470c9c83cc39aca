"""Each check of an attack finds the bug that it is there for."""

from collections.abc import Callable

import pytest
import torch

from fusion import Delta, Harm, PluginError, Region
from fusion.attack import ascend, gradient
from fusion.testing import check_attack


def upwards(harm: Harm, region: Region, *, size: float = 0.5) -> Delta:
    """One step along the gradient, from a random point."""
    return ascend(harm, region, region.random(), steps=4, size=size)


def test_a_good_attack_passes() -> None:
    assert check_attack(upwards, size=1.0) == [
        "what it returns is finite, in the ball, and in the range of samples, under either norm",
        "it raises a linear harm of every row, and leaves a row of radius 0 alone",
        "it gives the same again, whatever was drawn in between",
        "a row is moved alike in any batch",
    ]


def nothing(harm: Harm, region: Region) -> Delta:
    return {}


def short(harm: Harm, region: Region) -> Delta:
    return {key: part[:1] for key, part in region.zero().items()}


def endless(harm: Harm, region: Region) -> Delta:
    return {key: part / 0 for key, part in region.zero().items()}


def far(harm: Harm, region: Region) -> Delta:
    return {key: part + 0.4 for key, part in region.zero().items()}


def low(harm: Harm, region: Region) -> Delta:
    return {
        key: -block.radius + part
        for (key, part), block in zip(region.zero().items(), region.blocks.values(), strict=True)
    }


def slight(harm: Harm, region: Region) -> Delta:
    return {key: part + 1e-6 for key, part in region.zero().items()}


def lazy(harm: Harm, region: Region) -> Delta:
    return region.zero()


def drawn(harm: Harm, region: Region) -> Delta:
    noise = {key: torch.randn_like(part) for key, part in region.zero().items()}
    return ascend(harm, region, region.project(noise), steps=1, size=0.9)


def crowded(harm: Harm, region: Region) -> Delta:
    """Its steps are shorter where there are more rows."""
    _, slope = gradient(harm, region.zero())
    return region.climb(region.zero(), slope, 1 / len(region.keys))


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (nothing, "it returns dict; expected a perturbation for every input of the region"),
        (short, "has shape .*; expected"),
        (endless, "linf, linear harm: .* is NaN or infinite; expected finite numbers"),
        (far, r"linf, linear harm: it leaves the ball by 4.0e-01; expected project\(\)"),
        (low, r"it leaves the range of samples by 2.0e-02; expected project\(\)"),
        (slight, "it moves a row of radius 0; expected none"),
        (lazy, "it does not raise a harm that grows in one direction"),
        (
            drawn,
            "another call gives another perturbation; expected all that is random to come from the region",
        ),
        (crowded, "a row by itself is moved otherwise by .*; expected the same in any batch"),
    ],
)
def test_a_faulty_attack_is_found(attack: Callable[..., Delta], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_attack(attack)
