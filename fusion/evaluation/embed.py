"""Encode a whole source into parquet files: sharded over ranks, resumable, in batches of similar length."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, send_to_device

from fusion.batch import Target
from fusion.build import build_tables
from fusion.data.collate import BadRow, Collator
from fusion.data.loader import Loaded, Reader
from fusion.data.order import Ints
from fusion.data.windows import Chosen, Span, Window, room, windows
from fusion.errors import DataError, unknown
from fusion.evaluation.columns import Vectors, schema, table
from fusion.evaluation.parts import Parts
from fusion.evaluation.ranges import ranges, sample
from fusion.evaluation.ranges import told as ranges_told
from fusion.model import Model
from fusion.quantization.vectors import Ranges
from fusion.recipe.schema import Recipe
from fusion.registry import Registry

EACH = 16_384
"""Rows of a part."""


class Embedded(NamedTuple):
    """The rows in all files, those that cannot be read, the files, and how many were there before."""

    rows: int
    bad: list[BadRow]
    parts: int
    kept: int


@torch.no_grad()
def embed(
    model: Model,
    recipe: Recipe,
    name: str,
    out: Path,
    registry: Registry,
    accelerator: Accelerator,
    *,
    weights: str,
    each: int = EACH,
    precision: str = "float32",
    chosen: Ints | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Embedded:
    """Write one row per row of a source of the recipe, or of those that are `chosen`. All ranks call it.

    Columns: `source`, `row`, the target of `evaluate.target`, one list per modality, and `fused`; null where
    a target or a modality is absent. The numbers of the lists have a `precision`: float32, float16, int8
    over ranges that the metadata hold, or binary, 8 signs to a byte. Of a sample with choices the first is
    taken; rows that cannot be read are left out.

    An `out` that ends in .parquet is one file, written by one process, whole or not at all. Any other is a
    folder of parts of `each` rows, of which a rank takes every n-th that is not there yet; parts of other
    `weights`, by their SHA-256, or of other rows are refused. Raises DataError for that, for a source that
    the recipe does not have, for two columns of one name, and where a file cannot be written.
    """
    offered = {**recipe.sources, **recipe.evaluate.sources}
    if name not in offered:
        raise DataError(unknown("source", name, offered))
    sources = build_tables({name: offered[name]}, registry, "sources")
    label = recipe.evaluate.target
    target = model.targets().get(label, Target(torch.long))
    columns = schema(model, label, target, precision)
    reader = Reader(sources, Collator(model.processors, {label: target}))
    every, batch, tokens = len(sources[name]), recipe.evaluate.batch, recipe.evaluate.tokens
    rows = every if chosen is None else len(chosen)
    made = {
        "weights": weights,
        "source": name,
        "options": offered[name].model_dump(mode="json"),
        "rows": rows,
        "evaluate.target": label,
        "evaluate.batch": batch,
        "evaluate.tokens": tokens,
        "rows of a part": each,
        "precision": precision,
        "width": model.width,
    }
    if chosen is not None:
        made["chosen"] = hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()
    parts = Parts(out, rows, each, made)
    missing = _missing(parts, accelerator)
    mine = missing[accelerator.process_index :: accelerator.num_processes]
    window = room(reader, Span(0, 0, every), batch) if every and mine else batch
    spans: dict[int, Sequence[Window]] = {
        number: (Span(0, start, stop) if chosen is None else Chosen(0, chosen[start:stop])).split(window)
        for number in mine
        for start, stop in [parts.bounds[number]]
    }
    model.eval()

    def vectors(batches: list[Loaded]) -> list[Vectors]:
        return [Vectors.of(model, send_to_device(one.batch, accelerator.device), label) for one in batches]

    known: dict[str, Ranges] = {}
    if precision == "int8" and mine:
        looked = windows(reader, sample(every), batch, tokens, recipe.train.workers)
        known = ranges((one for batches in looked for one in vectors(batches)), model.modalities, model.width)
    told = {"ranges": ranges_told(known)} if known else {}
    loaded = windows(reader, list(chain(*spans.values())), batch, tokens, recipe.train.workers)
    for number, some in spans.items():
        with parts.write(number, columns, **told) as part:
            for batches in islice(loaded, len(some)):
                bad = [row for one in batches for row in one.bad]
                unread = [row.row for row in bad]
                made_of = table(name, vectors(batches), unread, columns, precision, known)
                part.writer.write_table(made_of)
                part.bad.extend(bad)
        if not parts.single:
            say(f"{parts.paths[number].name} is written")
    if not accelerator.is_main_process:
        return Embedded(0, [], 0, 0)
    footers = list(parts.footers())
    bad = [row for footer in footers for row in footer.bad]
    return Embedded(sum(footer.rows for footer in footers), bad, len(footers), len(footers) - len(missing))


def _missing(parts: Parts, accelerator: Accelerator) -> list[int]:
    """Return the parts to write, as the first rank sees them. Raises DataError on all ranks."""
    if parts.single and accelerator.num_processes > 1:
        raise DataError(f"{parts.out} is one file; give a folder, to which several processes can write parts")
    found: list[list[int] | DataError] = [[]]
    if accelerator.is_main_process:
        try:
            found = [parts.missing()]
        except DataError as error:
            found = [error]
    if accelerator.num_processes > 1:
        broadcast_object_list(found)
    [missing] = found
    if isinstance(missing, DataError):
        raise missing
    return missing
