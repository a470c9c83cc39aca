"""Let the distances and angles among a student's vectors be those among the teacher's."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.teaching import Teaching
from fusion.objectives.tiles import Tile, blocks, edge, sum_over_tiles, whole

APART = 1e-4  # of the mean distance: what is nearer, such as one sample twice, has no direction


class DistillRelations(Objective):
    """Relational knowledge distillation (Park et al. 2019, RKD): the Huber loss of distances and angles.

    Distances are in units of their mean, over all pairs of rows; angles, as cosines, weigh `angle` times
    as much. Both are means in place of sums. All triples of b rows would take b^3 numbers: so a row is the
    vertex of angles with the next `neighbours` rows that take part, which gives all triples as long as there
    are at most so many others. The student needs no projection, whatever the teacher's width. The other
    options are those of `distill`.
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
        count, b = rows.sum(), len(rows)
        n = max(1, min(self.neighbours, b - 1))
        place = torch.arange(b + n, device=rows.device)
        # those that take part come first, and again after the last of them
        first = rows.argsort(descending=True, stable=True)[place % count.clamp(min=1)]  # (b + n,)
        student, teacher = student[first], teacher[first]

        def beside(i: slice) -> slice:
            return slice(i.start + 1, i.stop + n)

        used = (place[:b, None] < count) & (place[:n] + 1 < count)  # (b, n)
        size = max(1, 2 * edge(rows.device) ** 2 // (n * (n + self.width)))  # rows of a tile
        vertices = [(i, beside(i)) for i in blocks(range(b), size)]
        used = used & _have_direction(student, used, vertices) & _have_direction(teacher, used, vertices)
        sides = used.sum(dim=1)
        angles = (sides * (sides - 1)).sum().clamp(min=1)

        def measure(i: slice, j: slice, x: Tensor, y: Tensor) -> Tensor:
            ours, theirs = _directions(x, y, used[i]), _directions(teacher[i], teacher[j], used[i])
            both = used[i].unsqueeze(2) & used[i].unsqueeze(1)  # (i, n, n)
            # the cosine of a direction and itself is 1 for both
            return (F.smooth_l1_loss(ours @ ours.mT, theirs @ theirs.mT, reduction="none") * both).sum()

        return sum_over_tiles(measure, student[:b], student, beside=beside, rows=size) / angles


def _distances(student: Tensor, teacher: Tensor, rows: Tensor) -> Tensor:
    counted = rows.to(student.dtype)  # (b,)
    pairs = (rows.sum() * (rows.sum() - 1)).clamp(min=1)

    def mean(i: slice, j: slice, numbers: Tensor) -> Tensor:
        return counted[i] @ (numbers @ counted[j]) / pairs

    def huber(
        i: slice, j: slice, ours: Tensor, our_mean: Tensor, theirs: Tensor, their_mean: Tensor
    ) -> Tensor:
        ours = ours / torch.where(our_mean > 0, our_mean, 1.0)
        theirs = theirs / torch.where(their_mean > 0, their_mean, 1.0)
        return mean(i, j, F.smooth_l1_loss(ours, theirs, reduction="none"))

    if whole(student):
        i = slice(0, len(rows))
        ours, theirs = _apart(student, student), _apart(teacher, teacher)  # (b, b)
        return huber(i, i, ours, mean(i, i, ours), theirs, mean(i, i, theirs))

    def share(i: slice, j: slice, x: Tensor, y: Tensor) -> Tensor:
        return mean(i, j, _apart(x, y))

    our_mean = sum_over_tiles(share, student, student)
    with torch.no_grad():
        their_mean = sum_over_tiles(share, teacher, teacher)

    def measure(i: slice, j: slice, x: Tensor, y: Tensor, our_mean: Tensor) -> Tensor:
        return huber(i, j, _apart(x, y), our_mean, _apart(teacher[i], teacher[j]), their_mean)

    return sum_over_tiles(measure, student, student, our_mean)


def _apart(x: Tensor, y: Tensor) -> Tensor:
    # by matrix products the distance of near rows would be rounding
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _away(vertex: Tensor, other: Tensor, n: int) -> Tensor:
    """Return the vectors from each vertex, (i, w), to the n others that begin beside it, (i, n, w)."""
    return other.unfold(0, n, 1).mT - vertex.unsqueeze(1)


@torch.no_grad()
def _have_direction(x: Tensor, used: Tensor, todo: list[Tile]) -> Tensor:
    """Return which of those others are far enough from their vertex, (b, n) bool."""
    n = used.shape[1]
    squares = torch.cat([_away(x[i], x[j], n).square().sum(dim=-1) for i, j in todo])
    mean = (squares * used).sum() / used.sum().clamp(min=1)
    return squares > APART**2 * mean


def _directions(vertex: Tensor, other: Tensor, used: Tensor) -> Tensor:
    """Return the unit vectors from each vertex to the others that are used, (i, n, w)."""
    away = _away(vertex, other, used.shape[1])
    squares = away.square().sum(dim=-1)
    length = torch.where(used, squares, 1.0).sqrt()  # the gradient of the root of 0 is infinite
    return away / length.unsqueeze(-1)
