"""Let nobody tell the sources apart, by an adversary that tries to."""

from collections.abc import Mapping, Sequence

from pydantic import PositiveInt
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.discriminator import Discriminator
from fusion.objectives.domains import check_modality, rows_of


class Adversarial(Objective):
    """Domain-adversarial training, DANN (Ganin et al. 2016, eq. 9), between any number of sources.

    A discriminator learns to tell the sources by the fused vectors, or by those of `modality`; through its
    reversed gradient these learn to be alike. The reversal grows over the training from 0 to 1. No target is
    read, so sources may be without labels.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        sources: Sequence[str],
        *,
        modality: str | None = None,
        hidden: PositiveInt = 256,
    ) -> None:
        super().__init__(modalities, width)
        self.modality = check_modality(modality, self.modalities)
        self.discriminator = Discriminator(width, hidden, sources)

    def start_step(self, step: int, steps: int) -> None:
        self.discriminator.schedule(step, steps)

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        x, rows = rows_of(embeddings, fused, self.modality)
        return self.discriminator(x, embeddings.source, rows)  # type: ignore[no-any-return]
