"""Let a student's vectors point where a teacher's do."""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.teaching import Teaching


class Distill(Objective):
    """One minus the cosine of the student's vector and the teacher's, over the rows that have both.

    Half the squared distance of vectors of unit length, as hints are learned (Romero et al. 2015, FitNets,
    eq. 3) and as a modality without labels learns from another (Gupta et al. 2016). `teacher` and `student`
    are modalities; without a student it is the fused vector, without a teacher it is what rows hold as
    `target`: `dim` numbers that an earlier run gave. Where `dim` is not the width, a linear layer learns to
    bring the student's vectors to it.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        teacher: str | None = None,
        student: str | None = None,
        target: str = "teacher/fused",
        dim: PositiveInt | None = None,
    ) -> None:
        super().__init__(modalities, width)
        self.teaching = Teaching(self.modalities, width, teacher, student, target, dim)
        self.targets = self.teaching.targets
        self.project = self.teaching.projection

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        student, teacher, rows = self.teaching(embeddings, fused, targets)
        far = 1 - F.cosine_similarity(self.project(student), teacher, dim=-1)  # (b,)
        return (far * rows).sum() / rows.sum().clamp(min=1)
