"""Put the micro-batches of a step together."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fusion.batch import Batch


def together(parts: Sequence[Batch]) -> Batch:
    """Return the batch that consists of these; the inputs stay in its parts, each padded for itself."""
    return Batch(
        present=_joined([part.present for part in parts]),
        shown=_joined([part.shown for part in parts]),
        inputs={},
        targets=_joined([part.targets for part in parts]),
        content=_joined([part.content for part in parts]),
        source=torch.cat([part.source for part in parts]),
        row=torch.cat([part.row for part in parts]),
        parts=tuple(parts),
    )


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
