"""Many small steps from a random start."""

from typing import Annotated

from pydantic import Field

from fusion.attack import Delta, Harm, Region, ascend


def pgd(
    harm: Harm,
    region: Region,
    *,
    steps: Annotated[int, Field(ge=0)] = 10,
    size: Annotated[float | None, Field(gt=0)] = None,
) -> Delta:
    """Projected gradient ascent from a random start (Madry et al. 2018, section 2.1); its last point.

    A step is `size` times the radius; by default 2.5 / `steps`, with which the border is reached from any
    start (there, section 5). Without steps nothing is changed.
    """
    if not steps:
        return region.zero()
    return ascend(harm, region, region.random(), steps, 2.5 / steps if size is None else size)
