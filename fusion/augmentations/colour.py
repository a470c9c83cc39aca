"""Vary how a picture looks and not where things are in it: colour, noise, negatives, backgrounds.

Everything gives RGB in the size of the picture. A strength of 0 leaves a picture as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps
from pydantic import Field

from fusion.augmentation import Augmentation
from fusion.data import decode

Share = Annotated[float, Field(ge=0, le=1)]

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
RGB = np.linalg.inv(YIQ)
GRAY = np.tile(YIQ[0], (3, 1))  # the map of a colour to the gray of its brightness (BT.601)


@dataclass(frozen=True, kw_only=True)
class ImageColor(Augmentation):
    """Change brightness, contrast, saturation and hue at random (Krizhevsky et al. 2012, Howard 2013).

    A strength of 0.2 multiplies by 0.8 .. 1.2: all light, the distance from the mean brightness, the
    distance from gray. Hue turns by up to this share of the circle at equal brightness (in YIQ), so that
    all four are one linear map. SimCLR takes 0.8, 0.8, 0.8 and 0.2 (Chen et al. 2020, appendix A).
    """

    brightness: Share = 0.2
    contrast: Share = 0.2
    saturation: Share = 0.2
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.05

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Image.Image:
        picture = decode.image(raw)
        bounds = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        light, contrast, saturation, hue = rng.uniform(-bounds, bounds)
        colour = (1 + saturation) * _turned(2 * np.pi * hue) - saturation * GRAY
        mean = np.asarray(picture.convert("L")).mean() if self.contrast else 0.0
        table = np.full((3, 4), -(1 + light) * contrast * mean)  # the last column is added
        table[:, :3] = (1 + light) * (1 + contrast) * colour
        return picture.convert("RGB", tuple(table.ravel().tolist()))


@dataclass(frozen=True, kw_only=True)
class ImageNoise(Augmentation):
    """Add Gaussian noise to every pixel; its deviation is random, up to `strength` of the range."""

    strength: Share = 0.1

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Image.Image:
        pixels = np.asarray(decode.image(raw))  # (h, w, 3)
        deviation = np.float32(rng.uniform(0, self.strength) * 255)
        noisy = rng.standard_normal(pixels.shape, np.float32)
        noisy *= deviation
        noisy += pixels
        return Image.fromarray(noisy.round(out=noisy).clip(0, 255, out=noisy).astype(np.uint8))


@dataclass(frozen=True, kw_only=True)
class ImageInvert(Augmentation):
    """Turn a share of the pictures into negatives."""

    share: Share = 0.5

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Image.Image:
        picture = decode.image(raw)
        return ImageOps.invert(picture) if rng.random() < self.share else picture


@dataclass(frozen=True, kw_only=True)
class ImageBlend(Augmentation):
    """Blend with random colours, `cells` x `cells` of them spread over the picture.

    One cell is a plain colour, two make a gradient, many a texture. `mix` averages, with a random share of
    colours up to `strength`. `difference` takes |picture - colours|, with colours that are as much darker
    at random; black on white, white on black and on any ground come of it, as in MNIST-M (Ganin et al.
    2016, section 5.2.3).
    """

    strength: Share = 0.5
    cells: Annotated[int, Field(ge=1, le=64)] = 2
    how: Literal["mix", "difference"] = "mix"

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Image.Image:
        picture = decode.image(raw)
        share = rng.uniform(0, self.strength)
        colours = rng.integers(0, 256, (self.cells, self.cells, 3), dtype=np.uint8)
        if self.how == "difference":
            return ImageChops.difference(picture, _spread((colours * share).astype(np.uint8), picture.size))
        return Image.blend(picture, _spread(colours, picture.size), share)


def _turned(angle: float) -> NDArray[np.float64]:
    """Return the map (3, 3) of RGB that turns hue, in radians, and leaves gray and brightness alone."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return np.asarray(RGB @ turn @ YIQ)


def _spread(colours: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(colours).resize(size, Image.Resampling.BILINEAR)
