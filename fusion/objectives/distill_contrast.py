"""Let a student tell which of the teacher's vectors is that of its own row."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from fusion.batch import Target
from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.contrastive import MAX_SCALE
from fusion.objectives.pairs import positives
from fusion.objectives.softmax import info_nce
from fusion.objectives.teaching import Teaching


class DistillContrast(Objective):
    """Contrastive representation distillation (Tian et al. 2020, CRD), from student to teacher and back.

    The paper tells a pair from 16,384 others that a memory holds, by noise contrast; here the others are the
    rows of the batch, over all processes, and the loss is InfoNCE, which needs no memory. The paper projects
    both sides; here the student is, and only where `dim` is not the width. Rows that hold the same sample, or
    an equal target `same`, are positives of each other. The other options are those of `distill`.
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
        same: str | None = None,
        temperature: Annotated[float, Field(ge=1 / MAX_SCALE)] = 0.1,
    ) -> None:
        super().__init__(modalities, width)
        self.teaching = Teaching(self.modalities, width, teacher, student, target, dim)
        self.same = same
        self.targets = self.teaching.targets | ({} if same is None else {same: Target(torch.long)})
        self.temperature = temperature
        self.project = self.teaching.projection

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        student, teacher, rows = self.teaching(embeddings, fused, targets)
        named = [name for name in (self.teaching.teacher, self.teaching.student) if name is not None]
        same = None if self.same is None else targets[self.same]
        ours, theirs = (F.normalize(side.float(), dim=-1) for side in (self.project(student), teacher))
        log_scale = torch.full((1,), -math.log(self.temperature), device=ours.device)
        return info_nce(ours, theirs, log_scale, positives(embeddings, named, same, rows))
