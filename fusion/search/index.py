"""The rows of a source by their vectors: which lie nearest to a query."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from fusion.batch import Row, Source, missing
from fusion.build import build_tables
from fusion.errors import DataError, RunError, unknown
from fusion.hub.fetch import opened
from fusion.registry import Registry
from fusion.run import Run
from fusion.search import record as records
from fusion.search.merged import Merged, Segment
from fusion.search.neighbourhoods import Graph, Lists
from fusion.search.part import expect_unit
from fusion.search.part import read as read_part
from fusion.search.record import FUSED, Record
from fusion.search.rows import Rows
from fusion.search.structure import Exact, Int8, Structure
from fusion.signature import expect_signed
from fusion.tensors import load_tensors

KINDS: dict[str, type[Structure]] = {"exact": Exact, "int8": Int8, "ivf": Lists, "hnsw": Graph}
"""How a modality can be searched, by the name that a record has of it."""


class Hit(NamedTuple):
    """A row that was found, by the vector of one of its modalities or by its fused one."""

    score: float  # the cosine, from -1 to 1
    modality: str
    row: int  # of the source
    source: str
    label: str | None


class Index:
    """The vectors of a source by modality, and "fused", as `fusion index` leaves them in a run.

    What is written there later does not reach it. What a kind needs beyond vectors is built when it is first
    asked.
    """

    def __init__(
        self,
        name: str,
        record: Record,
        parts: Merged,
        registry: Registry | None = None,
        kept: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({}),
    ) -> None:
        self.name, self.record, self.parts = name, record, parts
        self.registry, self.kept = registry, kept
        self._structures: dict[str, Structure] = {}

    @classmethod
    def open(
        cls,
        run: str | Path | Run,
        name: str | None = None,
        registry: Registry | None = None,
        require_signature: str | Path | None = None,
    ) -> "Index":
        """Return an index of a run: the one of this name, or the only one.

        Raises RunError where there is none, several and no name, one that another model made, or a damaged
        one. Where a signature is required, as for `fusion.load`, also for one that is not signed.
        """
        run = opened(run)
        name = records.choose(run, name)
        place = records.folder(run, name)
        expect_signed(place, require_signature, records.RECORD)
        record = records.read(place)
        expect_weights(run, name, record)
        try:
            parts = Merged(segments(place, record), record.modalities)
            return cls(name, record, parts, registry, _kept(place, record))
        except RunError:
            if records.read(place) == record:
                raise
        return cls.open(run, name, registry, require_signature)  # it was updated meanwhile

    @classmethod
    def of(cls, run: Run, name: str | None = None, registry: Registry | None = None) -> "Index | None":
        """Return what `open` returns, or None where no name is given and the run has no index."""
        return cls.open(run, name, registry) if name or records.names(run) else None

    @property
    def modalities(self) -> list[str]:
        """What can be searched within: the modalities that rows have, and "fused"."""
        return list(self.parts)

    def search(self, vectors: Tensor, k: int, within: Sequence[str] | None = None) -> list[list[Hit]]:
        """Return at most k hits for each of q queries, (q, w), the nearest first, by cosine.

        `within` are names of `modalities`; by default all but "fused". A row may be found by each of them.
        Raises DataError for other names, another width, numbers that are not finite, and k below 1.
        """
        chosen = self.within(within)
        if vectors.ndim != 2 or vectors.shape[1] != self.record.width:
            raise DataError(f"queries are {tuple(vectors.shape)}; the index needs (q, {self.record.width})")
        if k < 1:
            raise DataError(f"k is {k}; 1 is the least")
        queries = F.normalize(vectors.detach().float().cpu(), dim=1)
        if not bool(queries.isfinite().all()):
            raise DataError("queries hold numbers that are not finite")
        found: list[list[Hit]] = [[] for _ in queries]
        for modality in chosen:
            for hits, more in zip(found, self._search(modality, queries, k), strict=True):
                hits.extend(more)
        return [nearest(hits, k) for hits in found]

    def sample(self, hit: Hit) -> Row:
        """Return the row of the source that was found, as the source gives it.

        Raises DataError where the source cannot be read, or has fewer rows than it had: if they went from
        its middle, those behind them are no longer what their numbers say.
        """
        if len(self._source) < self.record.rows:
            raise DataError(
                f"source {hit.source!r} has {len(self._source)} rows, and had {self.record.rows} when it was "
                "indexed, so that a number may be of another row; index it again: `fusion index`"
            )
        return self._source[hit.row]

    def within(self, names: Sequence[str] | None) -> list[str]:
        """Return what is searched within: these, each once, or all but "fused". Raises DataError."""
        for name in names or ():
            if name not in self.parts:
                raise DataError(unknown("modality of the index", name, self.parts))
        return list(dict.fromkeys(names or (name for name in self.parts if name != FUSED)))

    def _search(self, modality: str, queries: Tensor, k: int) -> list[list[Hit]]:
        part, held = self.parts[modality], self.record.modalities[modality]
        scores, items = self._structure(modality).search(queries, min(k, len(part.rows)), held.effort)
        some = items.clamp(min=0)  # -1 where fewer were found
        columns = (scores.tolist(), items.tolist(), part.rows[some].tolist())
        return [
            [
                Hit(score, modality, row, self.record.source, label)
                for score, item, row, label in zip(*of_query, strict=True)
                if item >= 0
            ]
            for of_query in zip(*columns, self._labels(part.targets[some]), strict=True)
        ]

    def _structure(self, modality: str) -> Structure:
        if modality not in self._structures:
            part, kind = self.parts[modality], KINDS[self.record.modalities[modality].kind]
            vectors = expect_unit(part.vectors, f"the index {self.name!r}, {modality},")
            self._structures[modality] = kind(vectors, self.kept.get(modality, {}))
        return self._structures[modality]

    def _labels(self, targets: Tensor) -> list[list[str | None]]:
        """Say targets (q, k, ...) in words: names of classes, or numbers; None where not all is known."""
        each = targets.unsqueeze(-1).flatten(2)
        known = zip(each.tolist(), missing(each).any(2).tolist(), strict=True)
        return [
            [
                None if gone else ", ".join(map(self._named, values))
                for values, gone in zip(*some, strict=True)
            ]
            for some in known
        ]

    def _named(self, value: float) -> str:
        names = self.record.classes
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else f"{value:g}"

    @cached_property
    def _source(self) -> Source:
        name, registry = self.record.source, self.registry or Registry()
        return build_tables({name: self.record.options}, registry, "sources")[name]


def nearest(hits: Sequence[Hit], k: int) -> list[Hit]:
    """Return the k hits of the largest scores; of equal ones those of the first rows, and by modality."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.row))[:k]


def expect_weights(run: Run, name: str, record: Record) -> None:
    """Raise RunError for an index that the weights of this run did not make."""
    if record.weights != run.manifest["files"][run.model_file.name]:
        raise RunError(
            f"the index {name!r} was made by other weights than those of {run.folder}, so that its vectors "
            f"mean nothing here; delete {records.folder(run, name)}, and `fusion index` the source again"
        )


def segments(place: Path, record: Record) -> list[Segment]:
    """Return what updates of an index wrote. Raises RunError for a file that is missing or another."""
    return [
        Segment(
            Rows.read(one.rows),
            {
                name: read_part(records.expect_whole(place, digest), record.width)
                for name, digest in one.files.items()
            },
        )
        for one in record.written
    ]


def _kept(place: Path, record: Record) -> dict[str, dict[str, Tensor]]:
    """Return what is kept beside the vectors of modalities."""
    return {
        name: load_tensors(records.expect_whole(place, held.kept))
        for name, held in record.modalities.items()
        if held.kept
    }
