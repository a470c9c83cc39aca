"""Let the distances and angles among a student's vectors be those among the teacher's."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.teaching import Teaching

APART = 1e-4  # of the mean distance: what is nearer, such as one sample twice, has no direction


class DistillRelations(Objective):
    """Relational knowledge distillation (Park et al. 2019, RKD): the Huber loss of distances and angles.

    Distances are in units of their mean, over all pairs of rows; angles, as cosines, weigh `angle` times
    as much. Both are means in place of sums. All triples of b rows would take b^3 numbers: so a row is the
    vertex of angles with the next `neighbours` rows that take part, for which b n (n + w) numbers are held,
    and these are all triples as long as there are at most n others. The student needs no projection, whatever
    the teacher's width. The other options are those of `distill`.
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
        angle: NonNegativeFloat = 2.0,
        neighbours: PositiveInt = 64,
    ) -> None:
        super().__init__(modalities, width)
        self.teaching = Teaching(self.modalities, width, teacher, student, target, dim)
        self.targets = self.teaching.targets
        self.angle = angle
        self.neighbours = neighbours

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        student, teacher, rows = self.teaching(embeddings, fused, targets)
        return _distances(student, teacher, rows) + self.angle * self._angles(student, teacher, rows)

    def _angles(self, student: Tensor, teacher: Tensor, rows: Tensor) -> Tensor:
        count = rows.sum()
        first = rows.argsort(descending=True, stable=True)  # those that take part come first
        ahead = torch.arange(1, 1 + min(self.neighbours, len(rows) - 1), device=rows.device)  # (n,)
        place = torch.arange(len(rows), device=rows.device).unsqueeze(1)  # (b, 1)
        other = first[(place + ahead) % count.clamp(min=1)]  # (b, n)
        used = (place < count) & (ahead < count)
        (ours, we), (theirs, they) = (_directions(x[first], x[other], used) for x in (student, teacher))
        used = we & they
        both = used.unsqueeze(2) & used.unsqueeze(1)  # (b, n, n)
        both = both & ~torch.eye(len(ahead), dtype=torch.bool, device=rows.device)
        apart = F.smooth_l1_loss(ours @ ours.mT, theirs @ theirs.mT, reduction="none")
        return (apart * both).sum() / both.sum().clamp(min=1)


def _distances(student: Tensor, teacher: Tensor, rows: Tensor) -> Tensor:
    both = rows.unsqueeze(1) & rows & ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    count = both.sum().clamp(min=1)

    def scaled(x: Tensor) -> Tensor:
        # by matrix products the distance of near rows would be rounding
        apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist") * both  # (b, b)
        mean = apart.sum() / count
        return apart / torch.where(mean > 0, mean, 1.0)

    return (F.smooth_l1_loss(scaled(student), scaled(teacher), reduction="none") * both).sum() / count


def _directions(vertex: Tensor, other: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
    """Return the unit vectors from each vertex (b, w) to others (b, n, w), and which have a direction."""
    away = other - vertex.unsqueeze(1)
    squares = away.square().sum(dim=-1)  # (b, n)
    mean = (squares.detach() * used).sum() / used.sum().clamp(min=1)
    used = used & (squares > APART**2 * mean)
    length = torch.where(used, squares, 1.0).sqrt()  # the gradient of the root of 0 is infinite
    return away / length.unsqueeze(-1), used
