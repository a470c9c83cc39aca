"""What a prior is: where the parameters are believed to be before a training, and are pulled back to."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor


class Earlier(NamedTuple):
    """The weights that a training starts from."""

    path: str  # what the recipe's `init` says: a run, or a file
    sha256: str  # of the file


class Pull(NamedTuple):
    """A Gaussian belief about a parameter: `anchor` is its mean, `strength` its precision.

    After a step at rate lr, theta goes to (theta + lr * strength * anchor) / (1 + lr * strength).
    """

    strength: float | Tensor  # not below 0; of all its numbers, or a tensor of its shape, of each
    anchor: Tensor | None = None  # of its shape; None: zero


class Prior(ABC):
    """Says where the parameters that learn are pulled to.

    `earlier` comes from the framework and is None where the recipe has no `init`; options are the
    keyword-only parameters of `__init__`, which raises ValueError for what does not fit together.
    """

    def __init__(self, earlier: Earlier | None) -> None:
        self.earlier = earlier

    @abstractmethod
    def pull(self, name: str, start: Tensor, known: bool) -> Pull | None:
        """Return where a parameter is pulled to, and how strongly; None where it is free.

        `name` is the one in files of weights, also where a tuning has moved it; what a tuning has added has
        its own. `start` is its value before the first step, which may be kept but not changed. It is `known`
        when `init` gave it, or its encoder has pretrained weights; otherwise it is new. The answer depends on
        these and on files alone, since a training that is resumed asks again.
        """
