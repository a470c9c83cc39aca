"""Encode a whole source into a parquet file, batch by batch."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate.utils import send_to_device
from torch import Tensor

from fusion.batch import Batch, Target
from fusion.build import build_sources
from fusion.data.collate import Collator
from fusion.data.loader import Reader, Sweep
from fusion.data.loader import load as load_batches
from fusion.embeddings import Embeddings
from fusion.errors import DataError
from fusion.inference import load
from fusion.recipe import SourcePick
from fusion.registry import Registry


@torch.no_grad()
def embed(
    run: Path, name: str, pick: SourcePick, target: str, out: Path, registry: Registry
) -> tuple[int, int]:
    """Write one row per row of the source; return how many were written and how many could not be read.

    Columns: `source`, `row`, the target, one list<float> per modality (null where absent), and `fused`.
    """
    predictor = load(run, registry=registry)
    model, recipe = predictor.model, predictor.recipe
    reader = Reader(
        build_sources({name: pick}, registry), Collator(model.processors, {target: Target(torch.long)})
    )
    sweep = Sweep(reader, recipe.evaluate.batch)
    vector = pa.list_(pa.float32(), recipe.width)
    schema = pa.schema(
        [("source", pa.string()), ("row", pa.int64()), (target, pa.int64())]
        + [(modality, vector) for modality in model.modalities]
        + [("fused", vector)]
    )
    written = bad = 0
    device = next(model.parameters()).device
    try:
        with pq.ParquetWriter(out, schema) as file:
            for loaded in load_batches(sweep, range(len(sweep)), recipe.train.workers):
                batch = send_to_device(loaded.batch, device)
                embeddings = model.embed(batch)
                table = _table(name, target, batch, embeddings, model.fuse(embeddings, batch.shown), schema)
                file.write_table(table)
                written, bad = written + len(table), bad + len(loaded.bad)
    except OSError as error:
        raise DataError(f"cannot write {out}: {error}") from error
    return written, bad


def _table(
    name: str, target: str, batch: Batch, embeddings: Embeddings, fused: Tensor, schema: pa.Schema
) -> pa.Table:
    readable = torch.stack(list(batch.present.values())).any(dim=0).cpu()
    labels = batch.targets[target].cpu()
    columns = [
        pa.array([name] * len(labels)),
        pa.array(batch.row.cpu().numpy()),
        pa.array(labels.numpy(), mask=(labels == -100).numpy()),
        *(_lists(embeddings.pooled[modality], present) for modality, present in embeddings.present.items()),
        _lists(fused, readable),
    ]
    table = pa.Table.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
    return table.filter(pa.array(readable.numpy()))


def _lists(vectors: Tensor, present: Tensor) -> pa.Array:
    flat = pa.array(vectors.float().cpu().numpy().reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1], mask=pa.array((~present).cpu().numpy()))
