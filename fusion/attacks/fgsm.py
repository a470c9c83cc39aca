"""One step."""

from fusion.attack import Delta, Harm, Region, ascend


def fgsm(harm: Harm, region: Region) -> Delta:
    """The fast gradient sign method (Goodfellow et al. 2015, section 4): one step from zero to the border.

    Under L2 it goes along the gradient (Miyato et al. 2017, eq. 3).
    """
    return ascend(harm, region, region.zero(), steps=1, size=1.0)
