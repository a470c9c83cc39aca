"""Encode a whole source into a parquet file, batch by batch."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate.utils import send_to_device
from torch import Tensor

from fusion.batch import Batch, Target, missing
from fusion.build import build_tables
from fusion.data.collate import BadRow, Collator
from fusion.data.loader import Reader, Sweep, load
from fusion.embeddings import Embeddings
from fusion.errors import DataError, unknown
from fusion.model import Model
from fusion.recipe import Recipe
from fusion.registry import Registry


@torch.no_grad()
def embed(model: Model, recipe: Recipe, name: str, out: Path, registry: Registry) -> tuple[int, list[BadRow]]:
    """Write one row per row of a source of the recipe; return how many, and the rows that cannot be read.

    Of a sample with choices the first is taken.

    Columns: `source`, `row`, the target of `evaluate.target`, one list<float> per modality, and `fused`;
    null where a target or a modality is absent. `out` is written whole or not at all. Raises DataError
    for a source that the recipe does not have, for two columns of one name, and where the file cannot be
    written.
    """
    offered = {**recipe.sources, **recipe.evaluate.sources}
    if name not in offered:
        raise DataError(unknown("source", name, offered))
    sources = build_tables({name: offered[name]}, registry, "sources")
    label = recipe.evaluate.target
    target = model.targets().get(label, Target(torch.long))
    sweep = Sweep(Reader(sources, Collator(model.processors, {label: target})), recipe.evaluate.batch)
    schema = _schema(model, label, target)
    device = next(model.parameters()).device
    written, bad = 0, []
    stage = out.with_name(f".{out.name}.partial")
    try:
        with pq.ParquetWriter(stage, schema) as file:
            for loaded in load(sweep, range(len(sweep)), recipe.train.workers):
                batch = send_to_device(loaded.batch, device)
                embeddings = model.embed(batch)
                table = _table(name, label, batch, embeddings, model.fuse(embeddings, batch.shown), schema)
                unread = {row.row for row in loaded.bad}
                row = batch.row.cpu().numpy()
                first = np.concatenate([[True], row[1:] != row[:-1]])  # of a sample with choices, the first
                table = table.filter(pa.array(first & ~np.isin(row, list(unread))))
                file.write_table(table)
                written += len(table)
                bad += loaded.bad
        stage.replace(out)
    except OSError as error:
        raise DataError(f"cannot write {out}: {error}") from error
    finally:
        stage.unlink(missing_ok=True)
    return written, bad


def _schema(model: Model, label: str, target: Target) -> pa.Schema:
    kind = pa.float32() if target.dtype.is_floating_point else pa.int64()
    for _ in target.shape:
        kind = pa.list_(kind)
    vector = pa.list_(pa.float32(), model.width)
    columns = [("source", pa.string()), ("row", pa.int64()), (label, kind)]
    columns += [(modality, vector) for modality in (*model.modalities, "fused")]
    for name, count in Counter(name for name, _ in columns).items():
        if count > 1:
            raise DataError(f"two columns would be named {name!r}; choose another evaluate.target")
    return pa.schema(columns)


def _table(
    name: str, label: str, batch: Batch, embeddings: Embeddings, fused: Tensor, schema: pa.Schema
) -> pa.Table:
    some = torch.stack(list(batch.present.values())).any(dim=0).cpu()
    columns = [
        pa.array([name] * len(some)),
        pa.array(batch.row.cpu().numpy()),
        pa.array(_plain(batch.targets[label].cpu()), schema.field(label).type),
        *(_lists(embeddings.pooled[modality], present) for modality, present in embeddings.present.items()),
        _lists(fused, some),
    ]
    cast = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(cast, schema=schema)


def _plain(target: Tensor) -> list[Any]:
    """Return a target as Python numbers, None where it is missing."""
    numbers = target.numpy().astype(object)
    numbers[missing(target).numpy()] = None
    return numbers.tolist()  # type: ignore[no-any-return]


def _lists(vectors: Tensor, present: Tensor) -> pa.Array:
    flat = pa.array(vectors.float().cpu().numpy().reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1], mask=pa.array((~present).cpu().numpy()))
