"""What an augmentation is: a raw sample of one modality in, a varied one out; in training only."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Augmentation(ABC):
    """Varies raw samples of one modality. Options are the keyword-only parameters of `__init__`.

    It runs in loader workers, before the encoder's processor, and has to be picklable.
    """

    @abstractmethod
    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        """Return a varied sample, in any form that `fusion.decode` reads.

        Every draw comes from `rng`, which is seeded by (seed, epoch, source, row) and the modality, so
        that a row is varied alike on any number of ranks and workers and after a resume. `other()`
        returns the raw sample of another row of the source, to mix with. Raises fusion.DataError when
        `raw` cannot be read.
        """


class Chance(NamedTuple):
    """An augmentation, and the probability with which a row gets it."""

    augmentation: Augmentation
    chance: float
