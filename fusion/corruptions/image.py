"""Damage a picture, in five severities, each given by its size: those of ImageNet-C and of CIFAR-10-C.

Hendrycks & Dietterich 2019 chose one table for pictures of 224 pixels and a milder one for those of 32. The
first holds from 224 on, the second up to 32, and a power of the side between them; the side is that of a
square of the same area. Everything gives RGB in the size of the picture.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from fusion.data import decode

SMALL, LARGE = 32, 224  # sides, in pixels


def gaussian_noise(raw: Any, severity: int, rng: np.random.Generator) -> Image.Image:
    """Add Gaussian noise; pictures larger than 224 get it in larger grains, as they are seen smaller."""
    picture = decode.image(raw)
    deviation = 255 * _at(picture, severity, [0.04, 0.06, 0.08, 0.09, 0.10], [0.08, 0.12, 0.18, 0.26, 0.38])
    pixels = np.asarray(picture, np.float32)  # (h, w, 3)
    height, width, _ = pixels.shape
    grain = max(1, round(_side(picture) / LARGE))
    noise = rng.standard_normal((-(-height // grain), -(-width // grain), 3), np.float32)
    spread = noise.repeat(grain, axis=0).repeat(grain, axis=1)[:height, :width]
    return _picture(pixels + np.float32(deviation) * spread)


def blur(raw: Any, severity: int, rng: np.random.Generator) -> Image.Image:
    """Blur by a Gaussian, whose deviation keeps its share of the side from 224 on."""
    picture = decode.image(raw)
    deviation = _at(picture, severity, [0.4, 0.6, 0.7, 0.8, 1.0], [1.0, 2.0, 3.0, 4.0, 6.0])
    return picture.filter(ImageFilter.GaussianBlur(deviation * max(1.0, _side(picture) / LARGE)))


def contrast(raw: Any, severity: int, rng: np.random.Generator) -> Image.Image:
    """Leave a share of the distance from the mean colour."""
    picture = decode.image(raw)
    share = _at(picture, severity, [0.75, 0.5, 0.4, 0.3, 0.15], [0.4, 0.3, 0.2, 0.1, 0.05])
    pixels = np.asarray(picture, np.float32)
    mean = pixels.mean(axis=(0, 1))
    return _picture(mean + np.float32(share) * (pixels - mean))


def jpeg(raw: Any, severity: int, rng: np.random.Generator) -> Image.Image:
    """Compress by JPEG and read again; the quality is rounded."""
    picture = decode.image(raw)
    quality = round(_at(picture, severity, [80, 65, 58, 50, 40], [25, 18, 15, 10, 7]))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return decode.image(file.getvalue())


def occlusion(raw: Any, severity: int, rng: np.random.Generator) -> Image.Image:
    """Cover 10, 20, 30, 40 or 50 % of the area by a gray box of about the picture's shape, anywhere in it.

    After Zeiler & Fergus 2014, section 4.2; ImageNet-C has none, so the shares are our own.
    """
    picture = decode.image(raw)
    width = max(1, round(picture.width * np.sqrt(0.1 * severity)))
    height = max(1, round(picture.width * picture.height * 0.1 * severity / width))
    across, down = rng.random(2)  # a larger box holds the smaller one
    left, top = round((picture.width - width) * across), round((picture.height - height) * down)
    picture.paste((127, 127, 127), (left, top, left + width, top + height))
    return picture


def _at(picture: Image.Image, severity: int, small: Sequence[float], large: Sequence[float]) -> float:
    """Return what holds for the size of a picture, of the tables for both sizes."""
    share = np.log(_side(picture) / SMALL) / np.log(LARGE / SMALL)
    one, other = small[severity - 1], large[severity - 1]
    return float(one * (other / one) ** np.clip(share, 0, 1))


def _side(picture: Image.Image) -> float:
    return float(np.sqrt(picture.width * picture.height))


def _picture(pixels: np.ndarray[Any, np.dtype[np.float32]]) -> Image.Image:
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
