"""What a teacher gives for the rows of a training: computed once, kept in the cache, added to the rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate.utils import send_to_device

from fusion.batch import Batch, Row, Source, Stream, Target
from fusion.cache.columns import Column
from fusion.cache.kept import HeldTargets
from fusion.cache.key import probe, source_key
from fusion.cache.parts import Content, Part
from fusion.cache.wanted import Wanted
from fusion.data.collate import UNREADABLE, Collator, Sample
from fusion.data.draw import choices
from fusion.data.loader import Steps
from fusion.data.order import Slots
from fusion.errors import DataError
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.transfer.teacher import Teacher


class Seen(NamedTuple):
    """Rows as a teacher reads them; of those that it cannot read nothing is present."""

    batch: Batch
    rows: dict[int, str]  # which cannot be read, and why

    @property
    def whole(self) -> bool:
        return not self.rows


class Sight(Column):
    """Reads rows for a teacher, of several choices the first."""

    def __init__(self, collator: Collator) -> None:
        self.collator = collator

    def read(self, row: Row) -> Sample | str:
        try:
            return self.collator.decode(row)
        except (DataError, OSError) as error:
            return str(error)

    def join(self, rows: Sequence[Sample | str]) -> Seen:
        samples = [UNREADABLE if isinstance(row, str) else row for row in rows]
        unread = {number: row for number, row in enumerate(rows) if isinstance(row, str)}
        return Seen(self.collator.stack(samples, Slots.unnumbered(len(rows))), unread)

    def probe(self, row: Row) -> list[Any]:
        return [some[0] for some in choices(row, tuple(self.collator.processors)).values()]


class Outputs(Content):
    """What a teacher gives for every row, fp32; NaN where it gives nothing."""

    def __init__(self, teacher: Teacher, device: Any) -> None:
        self.teacher, self.device = teacher, device
        self.column: Sight = Sight(Collator(teacher.processors, {}))

    def write(self, part: Part, read: Seen) -> None:
        outputs = self.teacher(send_to_device(read.batch, self.device))
        for number, values in enumerate(outputs.values()):
            part.append(f"target{number}", values.numpy())
        part.note(read.rows, {}, (len(read.batch.row), 0))

    def bytes(self, part: Part, read: Seen) -> float:
        return self.row_bytes

    @property
    def row_bytes(self) -> int:
        return 4 * sum(int(np.prod(shape)) for shape in self.teacher.wanted.values())

    @property
    def targets(self) -> dict[str, Target]:
        return {name: Target(torch.float32, shape) for name, shape in self.teacher.wanted.items()}


def outputs_wanted(
    outputs: Outputs, steps: Steps, recipe: Recipe, registry: Registry, count: int
) -> list[Wanted]:
    """Return what is wanted of the cache: the outputs for the rows of the first `count` steps."""
    teacher, found = outputs.teacher, []
    for number, (name, source) in enumerate(zip(steps.reader.names, steps.reader.sources, strict=True)):
        assert not isinstance(source, Stream)
        rows, pick = steps.order.rows(number, count), recipe.sources[name]
        key = {
            "teacher": teacher.key,
            "outputs": [[name, list(shape)] for name, shape in teacher.wanted.items()],
            "without": sorted(set(pick.without) & set(teacher.processors)),
            "device": outputs.device.type,
            "source": source_key(pick, len(source), rows, probe(source), outputs.column, registry),
        }
        if len(rows):
            found.append(Wanted("teacher", number, name, source, rows, outputs, key))
    return found


class Taught:
    """A source whose rows also hold what the teacher gave for them, as far as it gave anything."""

    def __init__(self, source: Source, held: HeldTargets) -> None:
        self.source, self.held = source, held

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Row:
        row, place = self.source[index], self.held.place(np.array([index]))
        if place[0] < 0:
            return row
        given = {name: value[0].numpy() for name, value in self.held.take(place).items()}
        return {**row, **{name: value for name, value in given.items() if not np.isnan(value).any()}}
