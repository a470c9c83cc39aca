"""What a fuser is: whatever is present in a row becomes one vector."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from fusion.embeddings import Embeddings


class Fuser(nn.Module, ABC):
    """Fuses aligned modalities, any subset of them per row.

    A subclass takes `modalities` and `width` from the framework and its options as keyword-only
    parameters. The content of absent slots must influence nothing, bit for bit. One that looks at tokens
    sets `reads_tokens`; the others are spared them.
    """

    reads_tokens: ClassVar[bool] = False

    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.width = width

    @abstractmethod
    def forward(self, embeddings: Embeddings) -> Tensor:
        """Return one vector per row, (b, w); finite also for a row in which nothing is present."""

    def shares(self, embeddings: Embeddings) -> Tensor | None:
        """Return the share that it takes of each modality, (b, m), beside a contribution; None: it has none.

        At least 0, exactly 0 for what is absent, and 1 in all where something is present. A share is no
        effect: what is much attended to may change nothing (Jain and Wallace 2019).
        """
        return None
