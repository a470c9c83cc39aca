"""Whether rows of the query's label are found in one list of several modalities, by the way it is ordered.

    python benchmarks/search_modalities.py RUN [index]

Vectors of an index ask among all of its modalities, without their own row: by the cosine; by the cosine less
the mean over the modality, in standard deviations of it (Auckenthaler et al. 2000); and by the rank within
the modality (reciprocal rank fusion, Cormack et al. 2009). Once among all rows, and once for each modality
without those of the query's label: then the nearest of that modality are all wrong.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from fusion.search import Index
from fusion.search.part import Part
from fusion.search.record import FUSED
from fusion.search.structure import NEAREST

ASKING = 250
"""Vectors of each modality that ask."""


def standard(scores: Tensor) -> Tensor:
    return (scores - scores.mean()) / scores.std(correction=0)


def rank(scores: Tensor) -> Tensor:
    """Return 1 / (60 + rank), from rank 1 on."""
    return 1 / (61 + scores.argsort(descending=True).argsort().float())


ORDERS: dict[str, Callable[[Tensor], Tensor]] = {
    "cosine": lambda scores: scores,
    "standard": standard,
    "rank": rank,
}


def asked(parts: dict[str, Part], modality: str, item: int, gone: str | None) -> dict[str, tuple[float, int]]:
    """Return the share of the label among the nearest, and how many modalities these are of, by order."""
    query, row, label = (column[item] for column in parts[modality][:3])
    scores, right, kinds = [], [], []
    for number, (name, part) in enumerate(parts.items()):
        there = (part.rows != row) & ((part.targets != label) | (name != gone))
        scores.append(part.vectors[there] @ query)
        right.append(part.targets[there] == label)
        kinds.append(torch.full_like(part.rows[there], number))
    found = {}
    for name, order in ORDERS.items():
        best = torch.cat([order(some) for some in scores]).topk(NEAREST).indices
        found[name] = (float(torch.cat(right)[best].float().mean()), len(torch.cat(kinds)[best].unique()))
    return found


def main(run: str, name: str | None = None) -> None:
    held = Index.open(run, name).parts
    parts = {modality: part for modality, part in held.items() if modality != FUSED}
    print("| queries | without the label | " + " | ".join(f"{order} | of" for order in ORDERS) + " |")
    print(f"|---|---|{'--:|' * 2 * len(ORDERS)}")
    for modality, part in parts.items():
        items = torch.linspace(0, len(part.rows) - 1, min(ASKING, len(part.rows))).long().tolist()
        for gone in (None, *parts):
            told = [asked(parts, modality, item, gone) for item in items]
            means = [torch.tensor([one[order] for one in told]).mean(0).tolist() for order in ORDERS]
            cells = [f"{share:.3f} | {many:.1f}" for share, many in means]
            print(f"| {modality} | {gone or ''} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
