"""Mix a sample with one of another row, and keep the label of its own.

Mixup (Zhang et al. 2018) draws a share s from Beta(a, a), mixes x_ij = s x_i + (1 - s) x_j, and has the loss
s l(x_ij, y_i) + (1 - s) l(x_ij, y_j). Over all pairs, exchanging i with j and s with 1 - s turns the second
term into the first; so the expected loss is that of 2 s l(x_ij, y_i), and 2 s Beta(s; a, a) is
Beta(s; a + 1, a). Drawn from that, the label of the own row alone gives the same loss in expectation
(Huszar 2017): it works for every objective, and no target has to be mixed.

A row whose partner lacks the modality, or cannot be read, stays as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
from PIL import Image
from pydantic import Field

from fusion.augmentation import Augmentation
from fusion.data import decode
from fusion.errors import DataError

Alpha = Annotated[float, Field(ge=0.01, le=100)]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ImageMixup(Augmentation):
    """Average the picture with another row's, brought to its size (mixup, Zhang et al. 2018).

    The share of its own is drawn from Beta(alpha + 1, alpha): 0.86 on average for 0.2, 0.67 for 1. The
    paper takes 0.1 to 0.4 for ImageNet.
    """

    alpha: Alpha = 0.2

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Image.Image:
        own, theirs = decode.image(raw), _partner(other, decode.image)
        if theirs is None:
            return own
        return Image.blend(_sized(theirs, own), own, rng.beta(self.alpha + 1, self.alpha))


@dataclass(frozen=True, kw_only=True)
class ImageCutmix(Augmentation):
    """Put a box of one picture into another, of its size (CutMix, Yun et al. 2019).

    The area outside the box is a share s from Beta(alpha, alpha), more where the box is cut off by the
    edge; the paper takes alpha 1. The own picture is the one outside with probability s, else the one
    inside: as the label is always its own, the expected loss is s l(x, y_i) + (1 - s) l(x, y_j).
    """

    alpha: Alpha = 1.0

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Image.Image:
        own, theirs = decode.image(raw), _partner(other, decode.image)
        if theirs is None:
            return own
        side = np.sqrt(1 - rng.beta(self.alpha, self.alpha))
        left, right = _span(own.width, side, rng)
        top, bottom = _span(own.height, side, rng)
        box = (left, top, right, bottom)
        inside = (right - left) * (bottom - top) / (own.width * own.height)
        outer, inner = own, _sized(theirs, own)
        if rng.random() < inside:
            outer, inner = inner, outer
        outer.paste(inner.crop(box), box)
        return outer


@dataclass(frozen=True, kw_only=True)
class AudioMixup(Augmentation):
    """Average the sound with the start of another row's, at its rate and length (mixup, Zhang et al. 2018).

    The share of its own is drawn from Beta(alpha + 1, alpha): 0.86 on average for 0.2, 0.67 for 1.
    """

    alpha: Alpha = 0.2

    def __call__(
        self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]
    ) -> tuple[decode.Waveform, int]:
        own, rate = decode.sound(raw)
        theirs = _partner(other, lambda given: decode.audio(given, rate, len(own) / rate))
        if theirs is None:
            return own, rate
        share = np.float32(rng.beta(self.alpha + 1, self.alpha))
        own *= share
        own[: len(theirs)] += (1 - share) * theirs
        return own, rate


def _partner(other: Callable[[], Any], read: Callable[[Any], T]) -> T | None:
    """Return another row's sample; None if there is none, or it cannot be read: its own turn counts that."""
    try:
        return read(other())
    except (DataError, OSError):
        return None


def _sized(theirs: Image.Image, own: Image.Image) -> Image.Image:
    if theirs.size == own.size:
        return theirs
    return theirs.resize(own.size, Image.Resampling.BILINEAR)


def _span(length: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """Return start and end of a share of the length about a random centre, cut off at both edges."""
    half, centre = share * length / 2, rng.uniform(0, length)
    return max(0, round(centre - half)), min(length, round(centre + half))
