"""RandAugment, against torchvision's."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import RandAugment

from fusion.augmentations.randaugment import ImageRandAugment
from tests.augmentations.toys import vary

SEEDS = 400  # to meet each of 14 operations in both directions


def picture() -> Image.Image:
    """Colours in which every operation shows."""
    return Image.fromarray(np.random.default_rng(0).integers(10, 230, (20, 30, 3), dtype=np.uint8))


@pytest.mark.parametrize("magnitude", [0, 9, 13, 30])
def test_the_operations_are_those_of_torchvision(magnitude: int) -> None:
    ours = {
        vary(ImageRandAugment(operations=1, magnitude=magnitude), picture(), seed).tobytes()
        for seed in range(SEEDS)
    }
    theirs = RandAugment(num_ops=1, magnitude=magnitude)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = {theirs(picture()).tobytes() for _ in range(SEEDS)}
    assert ours == expected
    assert len(ours) == (3 if magnitude == 0 else 23)  # nine have two directions, five have one


def test_operations_follow_one_another() -> None:
    once = {vary(ImageRandAugment(operations=1), picture(), seed).tobytes() for seed in range(SEEDS)}
    thrice = [vary(ImageRandAugment(operations=3), picture(), seed).tobytes() for seed in range(50)]
    assert sum(found not in once for found in thrice) > 25
