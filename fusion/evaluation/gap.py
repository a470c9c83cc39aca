"""The modality gap: how far apart two modalities lie in the space that they share."""

import torch

from fusion.evaluation.retrieval import Items


def gap(one: Items, other: Items) -> float:
    """Return the distance of the means of two modalities (Liang et al. 2022, section 2).

    Vectors have unit length, so it lies between 0 and 2. Every distinct sample counts once.
    """
    means = [items.vectors.mean(dim=0, dtype=torch.float64) for items in (one, other)]
    return float((means[0] - means[1]).norm())
