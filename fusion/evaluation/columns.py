"""The columns of embedded rows: vectors, and null where something is absent."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from fusion.batch import Batch, Target, missing
from fusion.errors import DataError
from fusion.model import Model
from fusion.quantization.vectors import Ranges, encode


class Vectors(NamedTuple):
    """What a model makes of r rows."""

    row: Tensor  # (r,) long
    target: Tensor  # (r, ...)
    pooled: dict[str, Tensor]  # (r, w)
    present: dict[str, Tensor]  # (r,) bool
    fused: Tensor  # (r, w)

    @classmethod
    def of(cls, model: Model, batch: Batch, label: str) -> "Vectors":
        embeddings = model.embed(batch)
        fused = model.fuse(embeddings, batch.shown)
        return cls(batch.row, batch.targets[label], embeddings.pooled, batch.present, fused)


TYPES = {"float32": pa.float32(), "float16": pa.float16(), "int8": pa.int8(), "binary": pa.uint8()}
"""Of the numbers in a vector's column, by precision; 8 signs are a byte."""


def schema(model: Model, label: str, target: Target, precision: str) -> pa.Schema:
    """Return the columns. Raises DataError for two of one name."""
    kind = pa.float32() if target.dtype.is_floating_point else pa.int64()
    for _ in target.shape:
        kind = pa.list_(kind)
    vector = pa.list_(TYPES[precision], -(-model.width // 8) if precision == "binary" else model.width)
    columns = [("source", pa.string()), ("row", pa.int64()), (label, kind)]
    columns += [(modality, vector) for modality in (*model.modalities, "fused")]
    for name, count in Counter(name for name, _ in columns).items():
        if count > 1:
            raise DataError(f"two columns would be named {name!r}; choose another evaluate.target")
    return pa.schema(columns)


def table(
    source: str,
    parts: Sequence[Vectors],
    unread: Sequence[int],
    schema: pa.Schema,
    precision: str,
    ranges: Mapping[str, Ranges],
) -> pa.Table:
    """Return the rows of all parts in their order, less those that could not be read."""
    row = torch.cat([part.row for part in parts]).cpu()
    order = row.argsort()
    order = order[~torch.isin(row[order], torch.tensor(unread, dtype=torch.long))]

    def ordered(tensors: list[Tensor]) -> Tensor:
        return torch.cat(tensors).cpu()[order]

    def column(name: str, vectors: list[Tensor], there: Tensor) -> pa.Array:
        return _lists(encode(ordered(vectors).float(), precision, ranges.get(name)), there)

    names = list(parts[0].pooled)
    present = {name: ordered([part.present[name] for part in parts]) for name in names}
    columns = [
        pa.array([source] * len(order)),
        pa.array(row[order].numpy()),
        pa.array(_plain(ordered([part.target for part in parts])), schema.field(2).type),
        *(column(name, [part.pooled[name] for part in parts], present[name]) for name in names),
        column("fused", [part.fused for part in parts], torch.stack(list(present.values())).any(dim=0)),
    ]
    cast = [one.cast(field.type) for one, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(cast, schema=schema)


def _plain(target: Tensor) -> list[Any]:
    """Return a target as Python numbers, None where it is missing."""
    numbers = target.numpy().astype(object)
    numbers[missing(target).numpy()] = None
    return numbers.tolist()  # type: ignore[no-any-return]


def _lists(vectors: Tensor, present: Tensor) -> pa.Array:
    flat = pa.array(vectors.numpy().reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1], mask=pa.array((~present).numpy()))
