"""Vary pictures by a few random operations out of many: RandAugment."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field, PositiveInt
from torchvision.transforms.v2 import functional as F  # type: ignore[import-untyped]

from fusion.augmentation import Augmentation
from fusion.data import decode

STRONGEST = 30

# of a picture and a strength in -1..1, or 0..1 where it has no direction; the ranges are AutoAugment's
# (Cubuk et al. 2019, table 6), with shift as a share of the picture
Operation = Callable[[Image.Image, float], Image.Image]


def _affine(
    picture: Image.Image, right: float = 0.0, down: float = 0.0, shear: tuple[float, float] = (0.0, 0.0)
) -> Image.Image:
    moved: Image.Image = F.affine(
        picture,
        angle=0.0,
        translate=[int(right), int(down)],
        scale=1.0,
        shear=[math.degrees(math.atan(part)) for part in shear],
        center=[0.0, 0.0],
    )
    return moved


EITHER_WAY: Sequence[Operation] = (
    lambda picture, m: _affine(picture, shear=(0.3 * m, 0.0)),
    lambda picture, m: _affine(picture, shear=(0.0, 0.3 * m)),
    lambda picture, m: _affine(picture, right=150 / 331 * m * picture.width),
    lambda picture, m: _affine(picture, down=150 / 331 * m * picture.height),
    lambda picture, m: F.rotate(picture, 30.0 * m),
    lambda picture, m: F.adjust_brightness(picture, 1 + 0.9 * m),
    lambda picture, m: F.adjust_saturation(picture, 1 + 0.9 * m),
    lambda picture, m: F.adjust_contrast(picture, 1 + 0.9 * m),
    lambda picture, m: F.adjust_sharpness(picture, 1 + 0.9 * m),
)
ONE_WAY: Sequence[Operation] = (
    lambda picture, m: picture,
    lambda picture, m: F.posterize(picture, 8 - round(4 * m)),
    lambda picture, m: F.solarize(picture, 255 * (1 - m)),
    lambda picture, m: F.autocontrast(picture),
    lambda picture, m: F.equalize(picture),
)
OPERATIONS = (*EITHER_WAY, *ONE_WAY)


@dataclass(frozen=True, kw_only=True)
class ImageRandAugment(Augmentation):
    """Apply `operations` of 14 kinds of change, one after the other (RandAugment, Cubuk et al. 2020).

    `magnitude` is 0 to 30. The paper takes 2 operations, with 9 for a ResNet-50 on ImageNet and more for
    larger nets. What comes in from outside is black.
    """

    operations: Annotated[PositiveInt, Field(le=14)] = 2
    magnitude: Annotated[float, Field(ge=0, le=STRONGEST)] = 9.0

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Image.Image:
        picture = decode.image(raw)
        for number in rng.integers(len(OPERATIONS), size=self.operations):
            sign = -1 if number < len(EITHER_WAY) and rng.random() < 0.5 else 1
            picture = OPERATIONS[number](picture, sign * self.magnitude / STRONGEST)
        return picture
