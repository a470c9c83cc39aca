"""Predict a class as a teacher does, and as the label says where there is one."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from fusion.batch import MISSING, Target
from fusion.embeddings import Embeddings
from fusion.objectives.classify import Classify
from fusion.objectives.domains import check_modality, rows_of


class DistillLabels(Classify):
    """Softmax regression on the fused vector with soft labels (Hinton et al. 2015, section 2).

    (1 - `share`) of cross entropy over the rows with a label, and `share` T^2 of the divergence of our
    probabilities from the teacher's, both softened by the temperature T, over the rows that the teacher
    answers. These are what rows hold as `soft`: probabilities of an earlier run, or of any other origin. Or,
    with a modality as `teacher`, they are those of a head of its own, which learns by cross entropy on that
    modality's vectors and lets no gradient into them.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        classes: Annotated[int, Field(ge=2)],
        target: str = "label",
        teacher: str | None = None,
        soft: str = "soft",
        share: Annotated[float, Field(ge=0, le=1)] = 0.5,
        temperature: PositiveFloat = 2.0,
    ) -> None:
        super().__init__(modalities, width, classes=classes, target=target)
        self.teacher = check_modality(teacher, self.modalities)
        self.soft = soft
        self.share = share
        self.temperature = temperature
        if teacher is None:
            self.targets = {**self.targets, soft: Target(torch.float32, (classes,))}
        else:
            self.teacher_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        _, rows = rows_of(embeddings, fused, None)
        if self.teacher is None:
            given = targets[self.soft].float()  # (b, classes)
            known = ~given.isnan().any(dim=1)
            # the logarithms of probabilities are logits; 0 has none
            logits = (
                given.masked_fill(~known.unsqueeze(1), 1.0).clamp(min=torch.finfo(given.dtype).tiny).log()
            )
            learning = fused.new_zeros(())
        else:
            vectors, known = rows_of(embeddings, fused, self.teacher)
            logits = self.teacher_head(vectors.detach())
            label = targets[self.target].masked_fill(~known, MISSING)
            learning = F.cross_entropy(logits, label, ignore_index=MISSING, reduction="sum")
            learning = learning / (label != MISSING).sum().clamp(min=1)
        soft = (logits.detach() / self.temperature).log_softmax(dim=-1)
        ours = (self.logits(fused) / self.temperature).log_softmax(dim=-1)
        taught = rows & known
        apart = (soft.exp() * (soft - ours)).sum(dim=-1) * taught  # (b,)
        divergence = self.temperature**2 * apart.sum() / taught.sum().clamp(min=1)
        hard = super().forward(embeddings, fused, targets)
        return (1 - self.share) * hard + self.share * divergence + learning
