"""Samples to trace and to check graphs with, and which axes of what a processor makes of them vary."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, cycle, islice
from typing import Any, NamedTuple

from torch import Tensor

from fusion.batch import Row, Stream
from fusion.build import build_sources
from fusion.data.collate import Collator
from fusion.encoder import Processor
from fusion.errors import DataError, RunError, unknown
from fusion.model import Model
from fusion.recipe.picks import Pick
from fusion.recipe.schema import Recipe
from fusion.registry import Registry

ROWS = 256
"""Rows of a source that are looked at."""
KINDS = 3
"""Samples of different lengths that are kept of a modality."""

Inputs = dict[str, Tensor]
Axes = dict[str, tuple[str, ...]]
"""By input, what each axis is: "rows", "length" where samples differ in it, or "" where none does."""


class Specimens(NamedTuple):
    """Decoded samples of one modality, the shortest first, of which no two make inputs of one shape."""

    processor: Processor
    samples: list[Any]
    axes: Axes

    def alike(self, rows: int, sample: int = -1) -> Inputs:
        """Return the inputs of so many equal rows, by default of the longest sample."""
        return self.processor.collate([self.samples[sample % len(self.samples)]] * rows)

    def mixed(self, rows: int) -> Inputs:
        """Return inputs of rows of all lengths; of equal ones, where the processor keeps lengths apart."""
        inputs = self.processor.collate(list(islice(cycle(reversed(self.samples)), rows)))
        same = inputs.keys() == self.axes.keys() and all(
            len(inputs[name].shape) == len(axes) for name, axes in self.axes.items()
        )
        return inputs if same else self.alike(rows)

    def traced(self) -> Inputs:
        """Return inputs of a few rows, as many as no other axis is long."""
        sizes = {size for part in self.alike(2).values() for size in part.shape[1:]}
        return self.alike(next(rows for rows in (3, 5, 7, 11, 13, 17) if rows not in sizes))


def specimens(
    model: Model, recipe: Recipe, registry: Registry, source: str | None = None
) -> dict[str, Specimens]:
    """Read samples of every modality: from the evaluation sources, then from those of the training.

    Raises RunError where a modality is in no row, DataError for a source that is not there.
    """
    sections: dict[str, dict[str, Pick]] = {
        "evaluate.sources": recipe.evaluate.sources,
        "sources": dict(recipe.sources),
    }
    known = {name for section in sections.values() for name in section}
    if source is not None and source not in known:
        raise DataError(unknown("source", source, known))
    collator = Collator(model.processors, {})
    found: dict[str, list[Any]] = {name: [] for name in model.modalities}
    for path, section in sections.items():
        for name, pick in section.items():
            if all(found.values()) or source not in (None, name):
                continue
            read = build_sources({name: pick}, registry, path)[name]
            for row in islice(_rows(read), ROWS):
                try:
                    decoded = collator.decode(row).decoded
                except (DataError, OSError):
                    continue  # evaluation and training count it
                for modality, sample in decoded.items():
                    found[modality].append(sample)
    for modality, samples in found.items():
        if not samples:
            raise RunError(
                f"no row that was looked at has the modality {modality!r}, and a graph is traced with one; "
                "name a source by --source, or give another, such as evaluate.sources.test.data=..."
            )
    return {name: of_samples(model.processors[name], samples) for name, samples in found.items()}


def of_samples(processor: Processor, samples: Sequence[Any]) -> Specimens:
    """Choose samples of different shapes, among them the shortest and the longest, and tell their axes."""
    shapes: dict[tuple[Any, ...], Any] = {}
    for sample in samples:
        shapes.setdefault(_shape(processor.collate([sample, sample])), sample)
    ordered = [shapes[key] for key in sorted(shapes)]
    chosen = ordered if len(ordered) <= KINDS else [ordered[0], ordered[len(ordered) // 2], ordered[-1]]
    return Specimens(processor, chosen, _axes(processor, chosen))


def _rows(source: Any) -> Iterator[Row]:
    if isinstance(source, Stream):
        return source.rows(0, 1, 0)
    return (source[index] for index in range(len(source)))


def _shape(inputs: Mapping[str, Tensor]) -> tuple[Any, ...]:
    return tuple(chain((name, *part.shape) for name, part in inputs.items()))


def _axes(processor: Processor, samples: Sequence[Any]) -> Axes:
    pairs = [processor.collate([sample] * 2) for sample in samples]
    three = processor.collate([samples[0]] * 3)
    if any(inputs.keys() != three.keys() for inputs in pairs):
        raise RunError(
            f"{type(processor).__name__} gives inputs of different names for different samples "
            f"({', '.join(sorted({name for inputs in pairs for name in inputs}))}); a graph has one set"
        )
    axes = {}
    for name, more in three.items():
        lengths = [{inputs[name].shape[axis] for inputs in pairs} for axis in range(more.ndim)]
        axes[name] = tuple(
            "rows" if more.shape[axis] != pairs[0][name].shape[axis] else "length" if len(sizes) > 1 else ""
            for axis, sizes in enumerate(lengths)
        )
    return axes
