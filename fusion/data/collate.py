"""Turn rows into a batch: decode what is present, mark what is absent, stack."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fusion.batch import Batch, Choices, Row, Target
from fusion.data.draw import Draw, Turn, choices, naming
from fusion.data.fingerprint import fingerprint
from fusion.data.order import Slots
from fusion.data.target import read_target
from fusion.encoder import Processor


class BadRow(NamedTuple):
    """A row that could not be read, and why."""

    source: str
    row: int
    reason: str


class Sample(NamedTuple):
    """One decoded row; one without anything stands for a row that could not be read."""

    decoded: Mapping[str, Any]
    shown: frozenset[str]
    content: Mapping[str, int]
    targets: Mapping[str, Tensor]


UNREADABLE = Sample({}, frozenset(), {}, {})


class Collator:
    """Knows how each modality is decoded and which targets are read from a row."""

    def __init__(self, processors: Mapping[str, Processor], targets: Mapping[str, Target]) -> None:
        self.processors = dict(processors)
        self.targets = dict(targets)

    def decode(self, row: Row) -> Sample:
        """Read a row as it is, the first of any choices. Raises DataError that names the modality."""
        return self._sample({name: some[0] for name, some in self._choices(row).items()}, row)

    def decode_all(self, row: Row) -> list[Sample]:
        """Read a row with all its choices: the first of each, and then the others without the rest."""
        found = self._choices(row)
        most = max(map(len, found.values()), default=1)
        views = ({name: some[n] for name, some in found.items() if n < len(some)} for n in range(most))
        return [self._sample(view, row) for view in views]

    def draw(self, row: Row, draw: Draw, turn: Turn, other: Callable[[int], Row]) -> Sample:
        """Read a row as it is drawn for its turn in training."""
        drawn = draw(row, tuple(self.processors), turn, other)
        return self._sample(drawn.varied, row, drawn.chosen)._replace(shown=drawn.shown)

    def _choices(self, row: Row) -> dict[str, Choices]:
        return choices(row, tuple(self.processors))

    def _sample(self, raw: Mapping[str, Any], row: Row, told: Mapping[str, Any] | None = None) -> Sample:
        """Decode what is raw; equal samples are told by `told`, where `raw` was varied."""
        decoded = {}
        for name, one in raw.items():
            with naming(name):
                decoded[name] = self.processors[name].decode(one)
        targets = {
            name: read_target(name, row[name], target)
            for name, target in self.targets.items()
            if row.get(name) is not None
        }
        content = {name: fingerprint(one) for name, one in (told or raw).items()}
        return Sample(decoded, frozenset(raw), content, targets)

    def count_tokens(self, sample: Sample) -> dict[str, int]:
        """Return how long what a row has is, by modality."""
        return {name: self.processors[name].count_tokens(decoded) for name, decoded in sample.decoded.items()}

    def stack(self, samples: Sequence[Sample], slots: Slots) -> Batch:
        """Stack b decoded rows into a batch."""
        inputs = {}
        for name, processor in self.processors.items():
            decoded = [sample.decoded[name] for sample in samples if name in sample.decoded]
            if decoded:
                inputs[name] = processor.collate(decoded)
        targets = {}
        for name, target in self.targets.items():
            targets[name] = target.blank(len(samples))
            for place, sample in enumerate(samples):
                if name in sample.targets:
                    targets[name][place] = sample.targets[name]
        return Batch(
            present={m: torch.tensor([m in s.decoded for s in samples]) for m in self.processors},
            shown={m: torch.tensor([m in s.shown for s in samples]) for m in self.processors},
            inputs=inputs,
            targets=targets,
            content={m: torch.tensor([s.content.get(m, 0) for s in samples]) for m in self.processors},
            source=torch.from_numpy(slots.source.copy()),
            row=torch.from_numpy(slots.row.copy()),
        )
