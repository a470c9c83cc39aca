"""Vary a film: which part of it, which frames, and all of its frames alike.

Nothing is read here: a Film says what is to be done with the frames that the encoder will read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fusion import Augmentation
from fusion_video.film import Change, Film, film, seed


@dataclass(frozen=True, kw_only=True)
class VideoCrop(Augmentation):
    """See a part of random length and place, as clips are drawn (Feichtenhofer et al. 2021, section 3).

    The part has at least the share `least` of the frames that are seen.
    """

    least: Annotated[float, Field(gt=0, le=1)] = 0.5

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Film:
        given = film(raw)
        length = rng.uniform(self.least, 1) * (given.end - given.start)
        start = given.start + rng.uniform(0, given.end - given.start - length)
        return given._replace(start=start, end=start + length)


@dataclass(frozen=True, kw_only=True)
class VideoScatter(Augmentation):
    """Read a random frame of each of the equal parts, in place of the middle one (Wang et al. 2016)."""

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Film:
        return film(raw)._replace(scatter=seed(rng))


@dataclass(frozen=True, kw_only=True)
class VideoAlike(Augmentation):
    """Vary all frames by one augmentation of images, with the same draws (Feichtenhofer et al. 2021).

    What changes from frame to frame is then the film's own. There is no other row to mix with: `image-mixup`
    leaves a film as it is.
    """

    by: Augmentation

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Film:
        return film(raw).changed(Change(self._vary, seed(rng), alike=True))

    def _vary(self, frame: Any, rng: np.random.Generator) -> Any:
        return self.by(frame, rng, _nothing)


def _nothing() -> None:
    return None
