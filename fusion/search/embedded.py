"""Read what was embedded, as parts of an index."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.batch import Target
from fusion.errors import DataError
from fusion.gallery import Gallery
from fusion.search.part import Part


def read(folder: Path, names: Iterable[str], target: str) -> dict[str, Part]:
    """Return the vectors of these modalities, each for the rows that have it, at unit length.

    `folder` holds what `fusion embed` wrote in float32. Raises DataError for numbers that are not finite.
    """
    files = sorted(folder.glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(file, columns=["row", target]) for file in files])
    rows, targets = torch.from_numpy(table["row"].to_numpy().copy()), _numbers(table[target])
    found = {}
    for name in names:
        read = Gallery.read(folder, name)
        vectors = F.normalize(read.codes, dim=1)
        wrong = read.rows[~vectors.isfinite().all(1)]
        if len(wrong):
            raise DataError(f"row {int(wrong[0])}: its vector of {name} holds numbers that are not finite")
        found[name] = Part(vectors, read.rows, targets[torch.searchsorted(rows, read.rows)])
    return found


def _numbers(column: pa.ChunkedArray) -> Tensor:
    """Return a target as numbers, (r, ...), with the mark of what is missing where it is null."""
    flat, shape = column.combine_chunks(), [len(column)]
    while pa.types.is_list(flat.type):
        inner = flat.flatten()
        shape.append(len(inner) // len(flat))
        flat = inner
    mark = Target(torch.float32 if pa.types.is_floating(flat.type) else torch.long).missing
    return torch.from_numpy(flat.fill_null(mark).to_numpy(zero_copy_only=False).copy()).view(shape)
