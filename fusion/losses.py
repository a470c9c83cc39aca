"""What losses are computed on, and what they are."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from fusion.division import Division
from fusion.embeddings import Embeddings


class Rows(NamedTuple):
    """What the losses of a step are computed on: the rows of one rank, or of all."""

    embeddings: Embeddings  # without tokens, which stay on their rank
    fused: Tensor  # (b, w) fp32
    targets: Mapping[str, Tensor]  # (b, ...)
    division: Division = Division()  # of the work, where all ranks have these rows


class Losses(NamedTuple):
    """The weighted sum, which is trained on, and the unweighted parts by the objective's name.

    `finite` tells of the vectors of every part, such as "encoders.image" or "fuser", which are finite.
    """

    total: Tensor
    parts: dict[str, Tensor]
    finite: dict[str, Tensor]  # (b,) bool
