"""What an estimator is: how well vectors would serve a task, told before anything is trained."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Labelled(NamedTuple):
    """n labelled rows as a candidate sees them, of two classes at least."""

    vectors: Floats  # (n, d) what the encoder gives, before it is aligned
    labels: Ints  # (n,) in 0..classes-1; each class has a row
    source: Floats | None  # (n, source classes) probabilities by the run that the candidate starts from


class Estimator(ABC):
    """Estimates how well a candidate will transfer. Options are the keyword-only parameters of `__init__`."""

    @abstractmethod
    def __call__(self, rows: Labelled) -> float | str:
        """Return a finite number, larger where the transfer will be better; or in words why there is none.

        It is the same for the same rows, in any order up to rounding, and leaves them as they are. There may
        be fewer rows than numbers in a vector, vectors that are all equal, and a single row of a class.
        """
