"""The rows of a source by their vectors: which lie nearest to a query."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from fusion.batch import Row
from fusion.registry import Registry
from fusion.run import Run

FUSED = "fused"


class Hit(NamedTuple):
    """A row that was found, by the vector of one of its modalities or by its fused one."""

    score: float  # the cosine, from -1 to 1
    modality: str
    row: int  # of the source
    source: str
    label: str | None


class Index:
    """The vectors of a source, as `fusion index` leaves them in a run."""

    @classmethod
    def open(cls, run: str | Path | Run, name: str | None = None, registry: Registry | None = None) -> "Index":
        """Return an index of a run: the one of this name, or the only one.

        Raises RunError where there is none, several and no name, one that another model made, or a damaged
        one; under FUSION_REQUIRE_SIGNATURE also for one that is not signed.
        """
        raise NotImplementedError

    @property
    def modalities(self) -> list[str]:
        """What can be searched within: the modalities that rows have, and "fused"."""
        raise NotImplementedError

    def search(self, vectors: Tensor, k: int, within: Sequence[str] | None = None) -> list[list[Hit]]:
        """Return at most k hits for each of q queries, (q, w), the nearest first, by cosine.

        `within` are names of `modalities`; by default all but "fused". Raises DataError.
        """
        raise NotImplementedError

    def sample(self, hit: Hit) -> Row:
        """Return the row of the source that was found, as the source gives it. Raises DataError."""
        raise NotImplementedError
