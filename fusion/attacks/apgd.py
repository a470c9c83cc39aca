"""Steps that are halved where they bring nothing more."""

import math
from typing import Annotated

import torch
from pydantic import Field

from fusion.attack import Delta, Harm, Region, gradient

MOMENTUM = 0.75
RISING = 0.75  # share of steps that has to raise the harm, or the steps are halved


def apgd(harm: Harm, region: Region, *, steps: Annotated[int, Field(ge=0)] = 20) -> Delta:
    """Auto-PGD (Croce and Hein 2020, algorithm 1): no step size to choose; the best point of every row.

    Steps begin at twice the radius and have momentum. At check points they are halved for a row whose harm
    rose in fewer than three of four steps, or whose best point is what it was; it goes on from that point.
    Without steps nothing is changed.
    """
    if not steps:
        return region.zero()
    here = before = best = region.random()
    value, slope = gradient(harm, here)
    best_value, best_slope = value, slope
    known, halved = value, torch.ones_like(value, dtype=torch.bool)  # the first check looks at rises alone
    size, rises = torch.full_like(value, 2.0), torch.zeros_like(value)
    last, checks = 0, check_points(steps)
    for step in range(1, steps + 1):
        ahead = region.climb(here, slope, size)
        share = 1.0 if step == 1 else MOMENTUM
        moved = {
            key: part + share * (ahead[key] - part) + (1 - share) * (part - before[key])
            for key, part in here.items()
        }
        before, here, earlier = here, region.project(moved), value
        value, slope = gradient(harm, here)
        rises = rises + (value > earlier)
        better = value > best_value
        best, best_slope = region.where(better, here, best), region.where(better, slope, best_slope)
        best_value = torch.where(better, value, best_value)
        if step in checks:
            halved = (rises < RISING * (step - last)) | (~halved & (best_value <= known))
            size = torch.where(halved, size / 2, size)
            here, slope = region.where(halved, best, here), region.where(halved, best_slope, slope)
            value = torch.where(halved, best_value, value)
            known, rises, last = best_value, torch.zeros_like(rises), step
    return best


def check_points(steps: int) -> set[int]:
    """Return the steps at which step sizes may be halved: ever closer to each other (section 3.2)."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    points = (math.ceil(round(share * steps, 6)) for share in shares[1:])  # 0.57 is a little more than that
    return {point for point in points if point < steps}
