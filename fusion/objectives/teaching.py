"""Who teaches whom: the vectors of a student, and those of a teacher, in this model or of an earlier run."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fusion.batch import Target
from fusion.embeddings import Embeddings
from fusion.objectives.domains import check_modality, rows_of


class Teaching:
    """Finds the vectors of both sides; the teacher's have no gradient.

    The student is a modality, or the fused vector. The teacher is another modality of the model, or, with
    none, what rows hold as `target`: `dim` numbers, by default as many as the width. Raises ValueError.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        teacher: str | None,
        student: str | None,
        target: str,
        dim: int | None,
    ) -> None:
        self.teacher = check_modality(teacher, modalities)
        self.student = check_modality(student, modalities)
        if teacher is not None and teacher == student:
            raise ValueError(f"{teacher} is both teacher and student; name two modalities")
        if teacher is not None and dim is not None:
            raise ValueError("dim is that of what an earlier run gave; a teacher in this model has its width")
        self.target = target
        self.width = width
        self.dim = dim or width
        self.targets = {target: Target(torch.float32, (self.dim,))} if teacher is None else {}

    @property
    def projection(self) -> nn.Module:
        """What brings a student's vectors to the teacher's width: nothing where it is the same."""
        return nn.Identity() if self.dim == self.width else nn.Linear(self.width, self.dim, bias=False)

    def __call__(
        self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the student's vectors (b, w), the teacher's (b, dim), and which rows have both, (b,) bool.

        The vectors of other rows are zeros.
        """
        learns, has_student = rows_of(embeddings, fused, self.student)
        if self.teacher is None:
            known = targets[self.target].float()
            has_teacher = ~known.isnan().any(dim=1)
        else:
            known, has_teacher = rows_of(embeddings, fused, self.teacher)
        rows = has_student & has_teacher
        absent = ~rows.unsqueeze(-1)
        return learns.float().masked_fill(absent, 0.0), known.detach().masked_fill(absent, 0.0), rows
