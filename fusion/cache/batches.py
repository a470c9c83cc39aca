"""Read whole batches from the cache, where it holds all that a training reads of its rows."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusion.batch import Batch, Choices
from fusion.cache.kept import HeldFeatures, HeldTargets, stack
from fusion.data.collate import BadRow
from fusion.data.draw import Draw, Turn, streams_of, survivors
from fusion.data.loader import Loaded, Reader
from fusion.data.order import Ints, Slots

Flags = npt.NDArray[np.bool_]
Faults = dict[int, str]


class _Chosen(NamedTuple):
    """The sample of a modality that each of b rows shows in its turn."""

    present: Flags  # (b,)
    place: Ints  # (b,)
    content: Ints  # (b,)


class HeldReader(Reader):
    """Reads what another reader would, to the bit but for what encoders give, without looking at any row.

    `features` are by modality and number of the source, `targets` by that alone. Only rows with several
    choices, and modality dropout, are drawn one by one.
    """

    def __init__(
        self,
        reader: Reader,
        features: Mapping[str, Mapping[int, HeldFeatures]],
        targets: Mapping[int, HeldTargets],
    ) -> None:
        sources = dict(zip(reader.names, reader.sources, strict=True))
        super().__init__(sources, reader.collator, reader.draw)
        self.features = {name: dict(held) for name, held in features.items()}
        self.held_targets = dict(targets)

    def __call__(self, slots: Slots) -> Loaded:
        assert self.draw is not None
        faults: Faults = {}  # of rows of the batch, what would be met first
        chosen = {name: self._choose(name, slots, self.draw, faults) for name in self.features}
        targets = self._targets(slots, faults)
        bad = np.array(sorted(faults), np.int64)
        for name, values in targets.items():
            values[bad] = self.collator.targets[name].missing
        for one in chosen.values():
            one.present[bad] = False
            one.content[~one.present] = 0
        present = {name: torch.from_numpy(one.present) for name, one in chosen.items()}
        inputs = {
            name: stack(self.features[name], slots.source[one.present], one.place[one.present])
            for name, one in chosen.items()
            if one.present.any()
        }
        batch = Batch(
            present=present,
            shown=present if not self.draw.modality_dropout else self._shown(slots, chosen, self.draw),
            inputs=inputs,
            targets=targets,
            content={name: torch.from_numpy(one.content) for name, one in chosen.items()},
            source=torch.from_numpy(slots.source.copy()),
            row=torch.from_numpy(slots.row.copy()),
        )
        told = [BadRow(self.names[slots.source[at]], int(slots.row[at]), faults[at]) for at in bad.tolist()]
        return Loaded(batch, told)

    def _choose(self, name: str, slots: Slots, draw: Draw, faults: Faults) -> _Chosen:
        rows = len(slots.row)
        chosen = _Chosen(np.zeros(rows, bool), np.zeros(rows, np.int64), np.zeros(rows, np.int64))
        stream = streams_of(tuple(self.features))[name]
        for number, held in self.features[name].items():
            where = np.flatnonzero(slots.source == number)
            row = held.place(slots.row[where])
            first, count = held.first[row], held.first[row + 1] - held.first[row]
            for at in np.flatnonzero(count > 1).tolist():
                turn = Turn(draw.seed, int(slots.epoch[where[at]]), number, int(slots.row[where[at]]))
                first[at] += turn.choose(Choices(range(int(count[at]))), stream)
            chosen.present[where] = count > 0
            chosen.place[where] = first
            some = where[count > 0]
            chosen.content[some] = held.content[chosen.place[some]]
            _note(faults, where, row, held.row_faults)
            told = {place: f"{name}: {fault}" for place, fault in held.sample_faults.items()}
            _note(faults, some, chosen.place[some], told)
        return chosen

    def _targets(self, slots: Slots, faults: Faults) -> dict[str, Tensor]:
        targets = {name: target.blank(len(slots.row)) for name, target in self.collator.targets.items()}
        for number, held in self.held_targets.items():
            where = np.flatnonzero(slots.source == number)
            row = held.place(slots.row[where])
            _note(faults, where, row, held.row_faults)
            for name, values in held.take(row).items():
                targets[name][where] = values
        return targets

    def _shown(self, slots: Slots, chosen: Mapping[str, _Chosen], draw: Draw) -> dict[str, Tensor]:
        shown = {name: np.zeros(len(slots.row), bool) for name in chosen}
        for at, (source, row, epoch) in enumerate(zip(*(one.tolist() for one in slots), strict=True)):
            there = tuple(name for name, one in chosen.items() if one.present[at])
            turn = Turn(draw.seed, epoch, source, row)
            for name in survivors(there, turn.rng(0), draw.modality_dropout) if there else ():
                shown[name][at] = True
        return {name: torch.from_numpy(flags) for name, flags in shown.items()}


def _note(faults: Faults, where: Ints, places: Ints, known: Mapping[int, str]) -> None:
    """Note the rows of the batch, `where`, whose place is known to have a fault, and none before."""
    if known:
        for at in np.flatnonzero(np.isin(places, list(known))).tolist():
            faults.setdefault(int(where[at]), known[int(places[at])])
