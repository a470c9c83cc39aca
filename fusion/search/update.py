"""Let an index hold the rows of a source: those that are not there yet are encoded, and some left out."""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from accelerate import Accelerator

from fusion.build import build_tables
from fusion.data.collate import BadRow
from fusion.data.order import Ints
from fusion.errors import DataError, RunError, unknown
from fusion.evaluation.embed import Embedded, embed
from fusion.files import alone
from fusion.model import Model
from fusion.recipe.picks import SourcePick
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.search import record as records
from fusion.search.embedded import read as read_embedded
from fusion.search.index import KINDS, Index
from fusion.search.merged import Merged
from fusion.search.record import FUSED, Asked, Kind, Record
from fusion.search.rows import NONE, Rows
from fusion.search.writing import extend, measure
from fusion.signature import signature_of

MANY = 1_000_000
"""Rows from which on not all are compared, unless that is asked for."""


class Updated(NamedTuple):
    """What became of an index: rows that were encoded, that are no longer there, that are there.

    `bad` could not be read; the next update tries them again.
    """

    folder: Path
    record: Record
    added: int
    gone: int
    rows: int
    bad: list[BadRow]


def update(
    run: Run,
    model: Model,
    recipe: Recipe,
    source: str,
    registry: Registry,
    accelerator: Accelerator,
    *,
    name: str | None = None,
    add: Rows = NONE,
    remove: Rows = NONE,
    kind: Asked | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Updated:
    """Make an index of a source of the recipe, or bring it up to date. All ranks call it.

    Afterwards it holds every row of the source that can be read, but for those that are left out: of these
    more by `remove`, and fewer by `add`, which also encodes again what is there. The same call once more
    changes nothing. What is written is the vectors of new rows, and of few others; see `lasting`. Where it is
    killed, the index is as it was, and the call once more goes on after what was encoded.

    `kind` is how every modality is searched, and stays so; with "auto" all vectors are compared, and from a
    million rows on those of likely lists (ivf). Raises DataError for rows or a source that are not there, and
    RunError for an index of other weights or another source, without faiss, and while another update runs.
    """
    offered = {**recipe.sources, **recipe.evaluate.sources}
    if source not in offered:
        raise DataError(unknown("source", source, offered))
    count = len(build_tables({source: offered[source]}, registry, "sources")[source])
    outside = add.joined(remove).beyond(count)
    if len(outside.starts):
        raise DataError(f"source {source!r} has rows 0 to {count - 1}, and no row {outside.starts[0]}")
    name = name or source
    if not re.fullmatch(records.NAME, name):
        raise RunError(f"an index cannot be called {name!r}; use letters, digits, and _ - . within")
    place = records.folder(run, name)
    with _alone(place, accelerator):
        before = Index.open(run, name, registry) if name in records.names(run) else None
        known = before.record if before else None
        every = np.arange(count)
        left_out = Rows.read(known.left_out) if known else NONE
        out = (left_out.holds(every) | remove.holds(every)) & ~add.holds(every)
        wanted = Record(
            weights=run.manifest["files"][run.model_file.name],
            source=source,
            options=SourcePick(**offered[source].model_dump()),
            target=recipe.evaluate.target,
            classes=list(recipe.classes),
            width=model.width,
            rows=count,
            left_out=str(Rows.of(every[out]).joined(left_out.beyond(count))),
            kind=kind or (known.kind if known else "auto"),
            written=known.written if known else [],
            modalities=known.modalities if known else {},
        )
        if known is not None:
            _expect_same(name, place, known, wanted)
            if count < known.rows and accelerator.is_main_process:
                say(
                    f"{source} has {count} rows, and had {known.rows}: rows are known by their numbers, so "
                    f"if others went than the last, delete {place} and `fusion index` it again"
                )
        chosen: Kind = wanted.kind if wanted.kind != "auto" else "exact" if count < MANY else "ivf"
        KINDS[chosen].expect_library()
        segments = before.parts.segments if before else []
        there = before.parts.rows(FUSED).numpy() if before and before.parts else every[:0]
        taken = every[~out]
        kept = np.intersect1d(there, taken[~add.holds(taken)], assume_unique=True)
        fresh = np.setdiff1d(taken, kept, assume_unique=True)
        done = Embedded(0, [], 0, 0)
        stage = place / f".{_digest(wanted, fresh)}.partial"
        if len(fresh):
            done = embed(
                model,
                recipe,
                source,
                stage,
                registry,
                accelerator,
                weights=wanted.weights,
                chosen=fresh,
                say=say,
            )
        if not accelerator.is_main_process:
            return Updated(place, wanted, 0, 0, 0, [])
        names = (*model.modalities, FUSED)
        new = read_embedded(stage, names, wanted.target) if done.rows else {}
        added = len(new[FUSED].rows) if new else 0  # a row may hold nothing
        same = not added and len(kept) == len(there)
        segments, written = extend(place, segments, wanted.written, kept, new, names)
        if same and {held.kind for held in wanted.modalities.values()} <= {chosen}:
            made = wanted.modalities
        else:
            made = measure(place, Merged(segments, names), chosen)
        after = wanted.model_copy(update={"written": written, "modalities": made})
        if after != known:
            (place / signature_of(records.RECORD)).unlink(missing_ok=True)  # it is of what is no longer so
            records.write(place, after)
        _clear(place, after)
        return Updated(
            place,
            after,
            added,
            len(np.setdiff1d(there, taken, assume_unique=True)),
            len(kept) + added,
            done.bad,
        )


def _expect_same(name: str, place: Path, before: Record, wanted: Record) -> None:
    """Raise RunError where an index is of another source than the one that is to be indexed."""
    keys = ("source", "options", "target")
    differ = [key for key in keys if getattr(before, key) != getattr(wanted, key)]
    if differ:
        raise RunError(
            f"the index {name!r} is of {before.source!r} with another {', '.join(differ)}; give this one "
            f"another --name, or delete {place}"
        )


@contextmanager
def _alone(place: Path, accelerator: Accelerator) -> Iterator[None]:
    """Make the folder of an index and keep other updates from it. Raises RunError while one runs."""
    place.mkdir(parents=True, exist_ok=True)
    with ExitStack() as kept:
        if accelerator.is_main_process:
            try:
                kept.enter_context(alone(place))
            except BlockingIOError as error:
                raise RunError(f"{place} is being updated by another process; wait for its end") from error
        accelerator.wait_for_everyone()
        yield


def _digest(wanted: Record, fresh: Ints) -> str:
    """Name what is to be encoded, so that a later update goes on with the same and nothing else."""
    about = wanted.model_copy(update={"left_out": "", "written": [], "modalities": {}, "kind": "auto"})
    return hashlib.sha256(about.model_dump_json().encode() + fresh.tobytes()).hexdigest()[:16]


def _clear(place: Path, record: Record) -> None:
    """Delete what is no longer of the index: vectors that were replaced, and what updates have staged."""
    named = set(map(records.file_of, record.digests))
    for path in place.glob("*.safetensors"):
        if path.name not in named:
            path.unlink()
    for path in place.glob(".*.partial"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
