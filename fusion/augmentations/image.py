"""Vary where things are in a picture: its size, position, crop and side.

Everything gives RGB, in the size that the picture has unless it says otherwise: the encoder brings it to
its own. A strength of 0 leaves a picture as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field

from fusion.augmentation import Augmentation
from fusion.data import decode

BILINEAR = Image.Resampling.BILINEAR
TRIES = 10  # to find a crop that fits into the picture

Share = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=1, le=4096)]


@dataclass(frozen=True, kw_only=True)
class ImageResize(Augmentation):
    """Resize to a random size in `least` .. `most`, the shape kept (Simonyan & Zisserman 2015, section 3.1).

    A size is the side, in pixels, of a square of the same area. Equal bounds only resize: at the start of
    a list, that makes what follows cheap, and its noise one of pixels that the encoder sees.
    """

    least: Pixels
    most: Pixels

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"least ({self.least}) is more than most ({self.most})")

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Image.Image:
        picture = decode.image(raw)
        size = rng.integers(self.least, self.most + 1)
        factor = size / np.sqrt(picture.width * picture.height)
        width, height = (max(1, round(side * factor)) for side in picture.size)
        return picture.resize((width, height), BILINEAR)


@dataclass(frozen=True, kw_only=True)
class ImageMove(Augmentation):
    """Shift, scale and turn about the centre, each at random; what comes in from outside is black."""

    shift: Share = 0.1  # up to this share of width and of height
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.1  # up to this share larger or smaller
    rotate: Annotated[float, Field(ge=0, le=np.pi)] = 0.1  # up to this angle either way, radians

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Image.Image:
        picture = decode.image(raw)
        bounds = np.array([self.shift, self.shift, self.scale, self.rotate])
        right, down, growth, angle = rng.uniform(-bounds, bounds)
        cos, sin = np.cos(angle) / (1 + growth), np.sin(angle) / (1 + growth)
        x, y = picture.width / 2, picture.height / 2
        # pillow wants the map from the new picture to the old one: turn about (x, y), then shift
        map_x = cos, sin, x - cos * x - sin * y + right * picture.width
        map_y = -sin, cos, y + sin * x - cos * y + down * picture.height
        return picture.transform(picture.size, Image.Transform.AFFINE, map_x + map_y, BILINEAR)


@dataclass(frozen=True, kw_only=True)
class ImageCrop(Augmentation):
    """Cut out a part of random area, shape and place (Szegedy et al. 2015, section 6).

    Encoders trained on ImageNet from scratch usually see `least: 0.08`; half of the area is gentler.
    """

    least: Annotated[float, Field(gt=0, le=1)] = 0.5  # at least this share of the area
    stretch: Annotated[float, Field(ge=1, le=10)] = 4 / 3  # up to so many times as wide as high, or as high

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Image.Image:
        picture = decode.image(raw)
        width, height = self._size(picture.width, picture.height, rng)
        left = int(rng.integers(picture.width - width + 1))
        top = int(rng.integers(picture.height - height + 1))
        return picture.crop((left, top, left + width, top + height))

    def _size(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int]:
        widest = np.log(self.stretch)
        for _ in range(TRIES):
            area = rng.uniform(self.least, 1) * width * height
            aspect = np.exp(rng.uniform(-widest, widest))
            across, down = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
            if 0 < across <= width and 0 < down <= height:
                return across, down
        # nothing fits into a long, narrow picture: as much of it as its allowed shape holds
        across = min(width, round(height * self.stretch))
        return across, min(height, round(across * self.stretch))


@dataclass(frozen=True, kw_only=True)
class ImageFlip(Augmentation):
    """Mirror a share of the pictures, left to right; not for writing, or where the side means something."""

    share: Share = 0.5

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Image.Image:
        picture = decode.image(raw)
        if rng.random() < self.share:
            return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return picture
