"""Losses over every two rows as their papers have them, with all b x b numbers at once: no code of ours."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion import Embeddings


def belong(embeddings: Embeddings, modalities: Sequence[str], same: Tensor | None, rows: Tensor) -> Tensor:
    """Return which rows are positives of each other, (b, b)."""
    found = torch.eye(len(rows), dtype=torch.bool)
    for modality in modalities:
        content = embeddings.content[modality]
        found |= (content == content[:, None]) & (content != 0)
    if same is not None:
        found |= (same == same[:, None]) & (same != -100)
    return found & rows & rows[:, None]


def taking_part(embeddings: Embeddings, pair: Sequence[str]) -> Tensor:
    return embeddings.present[pair[0]] & embeddings.present[pair[1]]


def info_nce(x: Tensor, y: Tensor, scale: Tensor | float, positive: Tensor, rows: Tensor) -> Tensor:
    """Khosla et al. 2020, eq. 2, the mean of both directions; rows that do not take part are cut out."""
    x, y, positive = x[rows], y[rows], positive[rows][:, rows]
    logits = scale * x @ y.T
    both = [-(F.log_softmax(side, dim=1) * positive).sum(1) / positive.sum(1) for side in (logits, logits.T)]
    return torch.stack(both).mean()


def contrastive(embeddings: Embeddings, targets: Mapping[str, Tensor], scale: Tensor) -> Tensor:
    losses = []
    for pair in combinations(embeddings.pooled, 2):
        rows = taking_part(embeddings, pair)
        x, y = (embeddings.pooled[name] for name in pair)
        losses.append(info_nce(x, y, scale, belong(embeddings, pair, targets["label"], rows), rows))
    return torch.stack(losses).mean()


def sigmoid(embeddings: Embeddings, targets: Mapping[str, Tensor], scale: Tensor, bias: Tensor) -> Tensor:
    """Zhai et al. 2023, eq. 1."""
    losses = []
    for pair in combinations(embeddings.pooled, 2):
        rows = taking_part(embeddings, pair)
        x, y = (embeddings.pooled[name][rows] for name in pair)
        sign = 2.0 * belong(embeddings, pair, targets["label"], rows)[rows][:, rows] - 1
        losses.append(-F.logsigmoid(sign * (scale * x @ y.T + bias)).sum() / len(x))
    return torch.stack(losses).mean()


def mmd(x: Tensor, source: Tensor, scales: Sequence[float]) -> Tensor:
    """Gretton et al. 2012, eq. 5, the mean over pairs of sources; the width of kernels has no gradient."""
    apart = (x[:, None] - x).square().sum(-1)
    kernel = sum((-apart / (scale * apart.detach().mean())).exp() for scale in scales) / len(scales)
    assert isinstance(kernel, Tensor)
    pairs = []
    for one, other in combinations(source.unique().tolist(), 2):
        s, t = source == one, source == other
        pairs.append(kernel[s][:, s].mean() + kernel[t][:, t].mean() - 2 * kernel[s][:, t].mean())
    return torch.stack(pairs).mean()


def distances(student: Tensor, teacher: Tensor) -> Tensor:
    """Park et al. 2019, eq. 3 to 5, the mean over pairs."""
    apart = [
        torch.stack([torch.linalg.vector_norm(one - other) for one, other in combinations(x, 2)])
        for x in (student, teacher)
    ]
    ours, theirs = (x / x.mean() for x in apart)
    return F.smooth_l1_loss(ours, theirs)


def angles(student: Tensor, teacher: Tensor, neighbours: int) -> Tensor:
    """Park et al. 2019, eq. 6 to 8, the mean over each row with two of those that come after it."""

    def cosines(x: Tensor) -> Tensor:
        found = []
        for vertex in range(len(x)):
            others = [(vertex + ahead) % len(x) for ahead in range(1, neighbours + 1)]
            sides = [F.normalize(x[other] - x[vertex], dim=0) for other in others]
            found += [one @ other for one, other in combinations(sides, 2)]
        return torch.stack(found)

    return F.smooth_l1_loss(cosines(student), cosines(teacher))
