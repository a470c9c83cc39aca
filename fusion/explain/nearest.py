"""Find the rows whose vectors lie nearest to one, in chunks, in memory for one chunk."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from accelerate.utils import send_to_device
from torch import Tensor

from fusion.batch import Source
from fusion.build import build_tables
from fusion.data.collate import Collator
from fusion.data.draw import choices
from fusion.data.loader import Reader, Sweep, load
from fusion.errors import DataError, unknown
from fusion.evaluation.parts import Footer, read
from fusion.evaluation.ranges import read as read_ranges
from fusion.model import Model
from fusion.quantization.vectors import decode
from fusion.recipe.schema import Recipe
from fusion.registry import Registry

SAME = 1e-5
"""Vectors of which no number differs by more are those of one sample."""
CHUNK = 8_192
"""Rows of a file that are looked at together."""


class Neighbour(NamedTuple):
    """A row whose vector lies near: its number in its source, and how many rows have the same vector.

    `sample` is what the row holds of the modality, as its source gives it.
    """

    source: str
    row: int
    similarity: float  # the cosine
    rows: int
    sample: Any = None


class Nearest:
    """The `count` different vectors that lie nearest to `query`, (w,), of all that are added."""

    def __init__(self, query: Tensor, count: int) -> None:
        self.query, self.count = query, count
        self.vectors = query.new_empty(0, len(query))
        self.place = torch.empty(0, 2, dtype=torch.long)
        self.rows = torch.empty(0, dtype=torch.long)

    def add(self, vectors: Tensor, place: Tensor) -> None:
        """Look at rows: their unit vectors, (n, w), and source and number, (n, 2) long."""
        vectors = torch.cat([self.vectors, vectors])
        place = torch.cat([self.place, place])
        rows = torch.cat([self.rows, torch.ones(len(vectors) - len(self.rows), dtype=torch.long)])
        similarity = (vectors @ self.query).nan_to_num(-torch.inf)
        first: list[int] = []
        counts: list[int] = []
        while len(first) < self.count and bool((similarity > -torch.inf).any()):
            same = (vectors - vectors[similarity.argmax()]).abs().amax(dim=1) <= SAME
            same &= similarity > -torch.inf
            first.append(int(same.nonzero()[0]))
            counts.append(int(rows[same].sum()))
            similarity[same] = -torch.inf
        self.vectors, self.place = vectors[first], place[first]
        self.rows = torch.tensor(counts, dtype=torch.long)

    def found(self, names: tuple[str, ...]) -> list[Neighbour]:
        """Return them, the nearest first; `names` are those of the sources by number."""
        similarity = (self.vectors @ self.query).tolist()
        return [
            Neighbour(names[source], row, cosine, count)
            for (source, row), cosine, count in zip(
                self.place.tolist(), similarity, self.rows.tolist(), strict=True
            )
        ]


def neighbours(
    model: Model,
    recipe: Recipe,
    registry: Registry,
    queries: Mapping[str, Tensor],
    count: int,
    source: str | None = None,
    embedded: Path | None = None,
    weights: str | None = None,
) -> dict[str, list[Neighbour]]:
    """Return the rows that lie nearest to the vectors (w,) of `queries`, modality by modality.

    They are those of all training sources, or of one `source` of the recipe: the encoders of these modalities
    read each row once. Where `embedded` holds what `fusion embed` made of them, by these `weights`, that is
    read in its place. Raises DataError.
    """
    offered = {**recipe.evaluate.sources, **recipe.sources}
    if source is not None and source not in offered:
        raise DataError(unknown("source", source, offered))
    chosen = dict(recipe.sources) if source is None else {source: offered[source]}
    sources = build_tables(chosen, registry, "sources")
    found = {name: Nearest(query, count) for name, query in queries.items()}
    if embedded is None:
        parts = _encoded(model, sources, list(queries), recipe.evaluate.batch, recipe.train.workers)
    else:
        options = {name: pick.model_dump(mode="json") for name, pick in chosen.items()}
        parts = _kept(embedded, options, list(queries), weights)
    for name, vectors, place in parts:
        found[name].add(vectors, place)
    return {
        name: [near._replace(sample=_sample(sources, near, name)) for near in best.found(tuple(sources))]
        for name, best in found.items()
    }


def _sample(sources: Mapping[str, Source], near: Neighbour, name: str) -> Any:
    return choices(sources[near.source][near.row], [name])[name][0]


@torch.no_grad()
def _encoded(
    model: Model, sources: Mapping[str, Source], names: list[str], batch: int, workers: int
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Encode these modalities of all rows and yield each with its vectors, (n, w), and place, (n, 2)."""
    collator = Collator({name: model.processors[name] for name in names}, {})
    sweep = Sweep(Reader(sources, collator), batch)
    device = next(model.parameters()).device
    for one in load(sweep, range(len(sweep)), workers):
        embeddings = model.embed(send_to_device(one.batch, device))
        place = torch.stack([one.batch.source, one.batch.row], dim=1)
        for name, present in one.batch.present.items():
            yield name, embeddings.pooled[name].cpu()[present], place[present]


def _kept(
    folder: Path, options: Mapping[str, Any], names: list[str], weights: str | None
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield the same from what `fusion embed` wrote of sources with these options, in a file or a folder.

    Of vectors in fewer bits those that the codes stand for are taken, at unit length.
    """
    numbers = {name: number for number, name in enumerate(options)}
    for path, footer in _parts(folder, options, weights):
        number, ranges = numbers[footer.made["source"]], read_ranges(footer.told)
        precision, width = footer.made["precision"], footer.made["width"]
        for batch in pq.ParquetFile(path).iter_batches(CHUNK, columns=["row", *names]):
            row = torch.from_numpy(batch.column("row").to_numpy().copy())
            place = torch.stack([torch.full_like(row, number), row], dim=1)
            for name in names:
                codes, present = _dense(batch.column(name))
                vectors = decode(codes, precision, width, ranges.get(name))
                yield name, F.normalize(vectors, dim=1), place[present]


def _parts(folder: Path, options: Mapping[str, Any], weights: str | None) -> list[tuple[Path, Footer]]:
    """Return the files, each with what it says of itself.

    Raises DataError unless they are all rows, by these weights, in a precision that keeps cosines.
    """
    left: dict[str, int | None] = dict.fromkeys(options)
    parts = []
    for path in sorted(folder.glob("*.parquet")) if folder.is_dir() else [folder]:
        footer = read(path)
        if footer is None:
            raise DataError(f"{path} is no part of an embedding; give what `fusion embed` wrote")
        source = footer.made["source"]
        if footer.made["weights"] != weights:
            raise DataError(f"{path} was made by other weights; run `fusion embed` on this run")
        if footer.made["precision"] == "binary":
            raise DataError(
                f"{path} holds signs alone, which have no cosine; run `fusion embed` with another --precision"
            )
        if options.get(source) != footer.made["options"]:
            raise DataError(
                f"{path} holds rows of {source!r}, other ones than those of the recipe that are looked at: "
                f"{', '.join(options)}"
            )
        before = left[source]
        rows = footer.made["rows"] if before is None else before
        left[source] = rows - footer.rows - len(footer.bad)
        parts.append((path, footer))
    lacking = [name for name, rows in left.items() if rows != 0]
    if lacking:
        raise DataError(
            f"{folder} does not hold all rows of {', '.join(lacking)}; `fusion embed` writes them, and "
            "--source looks at one source alone"
        )
    return parts


def _dense(column: pa.FixedSizeListArray) -> tuple[Tensor, Tensor]:
    """Return the codes that are there, (n, w), and which are, (r,) bool."""
    present = torch.from_numpy(column.is_valid().to_numpy(zero_copy_only=False).copy())
    flat = column.drop_null().flatten().to_numpy().copy()
    return torch.from_numpy(flat).view(-1, column.type.list_size), present
