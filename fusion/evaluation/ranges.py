"""From where to where the dimensions of vectors reach, by rows from all over a source."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from fusion.data.windows import Span
from fusion.evaluation.columns import Vectors
from fusion.quantization.vectors import Ranges

BLOCKS, ROWS = 16, 64
"""What is looked at of a source: so many blocks of so many rows, evenly spread."""


def sample(rows: int) -> list[Span]:
    """Return the rows of a source, of so many, by which the ranges are known."""
    if rows <= BLOCKS * ROWS:
        return Span(0, 0, rows).split(ROWS)
    starts = [block * (rows - ROWS) // (BLOCKS - 1) for block in range(BLOCKS)]
    return [Span(0, start, start + ROWS) for start in starts]


def ranges(found: Iterable[Vectors], names: Iterable[str], width: int) -> dict[str, Ranges]:
    """Return the least and the largest number of each dimension, by modality and for "fused".

    A modality that no row has gets -1 to 1, where those of unit length are.
    """
    known: dict[str, Ranges] = {}
    for some in found:
        shown = torch.stack(list(some.present.values())).any(dim=0)
        present = {**some.present, "fused": shown}
        for name, vectors in {**some.pooled, "fused": some.fused}.items():
            there = torch.cat(
                [vectors[present[name]].float().cpu(), *(end[None] for end in known.get(name, ()))]
            )
            if len(there):
                known[name] = Ranges(there.amin(0), there.amax(0))
    one = torch.ones(width)
    return {name: known.get(name, Ranges(-one, one)) for name in (*names, "fused")}


def told(known: Mapping[str, Ranges]) -> dict[str, dict[str, list[float]]]:
    """Return ranges as plain JSON, which keeps every bit of them."""
    return {
        name: {end: numbers.tolist() for end, numbers in one._asdict().items()} for name, one in known.items()
    }


def read(said: Mapping[str, Any]) -> dict[str, Ranges]:
    """Return the ranges that a file says beside what it was made from; {} where its vectors need none."""
    return {
        name: Ranges(torch.tensor(one["low"]), torch.tensor(one["high"]))
        for name, one in said.get("ranges", {}).items()
    }
