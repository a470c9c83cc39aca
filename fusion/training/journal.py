"""What a training writes down: losses, rows by presence, bad rows. The device is asked only now and then."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import compress
from math import isfinite
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor

from fusion.batch import Batch
from fusion.data import lines as jsonl
from fusion.data.collate import BadRow
from fusion.data.ledger import Ledger
from fusion.data.loader import Loaded
from fusion.errors import DataError, TrainingError
from fusion.losses import Losses
from fusion.recipe.schema import Train
from fusion.run import Run
from fusion.training.followers import Followers
from fusion.training.progress import Progress
from fusion.training.skips import Clues, Line, Skips, Suspects, blame, clues, mark, suspects, told

BEGINNING: Mapping[str, Any] = {"presence": {}, "bad_rows": 0}
HOPELESS = 5  # unreadable rows, or steps, and not one row with a modality before them


class _Noted(NamedTuple):
    """A step whose numbers are still on the device."""

    step: int
    rate: float
    names: list[str]
    values: Tensor
    clues: Clues


class _Heard(NamedTuple):
    """What one rank has to tell the others."""

    bad: list[BadRow]
    presence: Counter[str]
    suspects: list[Suspects]  # of each step that was left out


class Journal:
    """Notes every step on the device and flushes them to the run folder, its followers and the terminal."""

    def __init__(
        self,
        run: Run,
        train: Train,
        sources: Sequence[str],
        origins: Mapping[str, str],
        accelerator: Accelerator,
        followers: Followers,
        progress: Progress,
    ) -> None:
        self.run, self.accelerator, self.sources, self.origins = run, accelerator, sources, origins
        self.followers, self.progress = followers, progress
        self.ledger = Ledger(run.folder / "ledger.jsonl", train.max_bad, accelerator.is_main_process)
        self.skips = Skips(scaled=accelerator.scaler is not None)
        self.presence: Counter[str] = Counter()
        self.modalities = [path.removeprefix("encoders.") for path in origins if path.startswith("encoders.")]
        self.steps = train.steps
        self._warned = False
        self._path = run.folder / "metrics.jsonl"
        self._pending: list[_Noted] = []
        self._bad: list[BadRow] = []
        self._seen: list[Tensor] = []

    def note(
        self, step: int, rate: float, losses: Losses, norm: Tensor, loaded: Loaded, batch: Batch
    ) -> None:
        """Remember a step (from 1) without waiting for the device, where `batch` is what was loaded."""
        parts = {"loss": losses.total, **{f"loss/{name}": loss for name, loss in losses.parts.items()}}
        parts["grad_norm"] = norm
        values = torch.stack([value.detach().float() for value in parts.values()])
        self._pending.append(_Noted(step, rate, list(parts), values, clues(losses, batch, loaded.batch)))
        self._bad += loaded.bad
        present = loaded.batch.present  # still on the host
        self._seen.append(torch.stack([present[name] for name in self.modalities], dim=1))

    def flush(self) -> None:
        """Write down what is pending; every rank calls it at the same step.

        Raises TrainingError for too many steps in a row that were left out, and DataError for too many bad
        rows, on all ranks.
        """
        lines, found = self._lines()
        ranks = [_Heard(self._bad, self._count(), found)]
        if self.accelerator.num_processes > 1:
            ranks = gather_object(ranks)
        self._bad, self._seen = [], []
        for heard in ranks:
            self.presence.update(heard.presence)
        skipped = [line for line in lines if not isfinite(line["grad_norm"])]
        for line, *parts in zip(skipped, *(heard.suspects for heard in ranks), strict=True):
            mark(line, blame(parts), self.origins, self.skips.scaled)
        if self.accelerator.is_main_process:
            self._write(lines)
        self.ledger.add(row for heard in ranks for row in heard.bad)
        self._expect_rows(lines[-1]["step"] if lines else 0)
        self._warn(lines)
        self._follow(lines)

    def close(self) -> None:
        """Say at the end what was left out. Raises TrainingError when all steps were."""
        if self.skips.count == self.steps:
            raise TrainingError(self._stopped(self.skips.row))
        bad = self.ledger.rows
        if bad:
            told = self.ledger.summary()
            self.progress.warn(f"{len(bad)} rows could not be read: {told}; all are in {self.ledger.path}")

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        return {"presence": dict(self.presence), "bad_rows": len(self.ledger.rows)}

    def rewind(self, step: int, state: Mapping[str, Any] = BEGINNING) -> None:
        """Forget what a run wrote after the step, of which it has the `state`; all ranks call it."""
        self.presence.update(state["presence"])
        self.ledger.rewind(state["bad_rows"])
        kept: list[list[Line]] = [[]]
        if self.accelerator.is_main_process:
            kept = [[line for line in jsonl.read(self._path) if line["step"] <= step]]
            jsonl.rewrite(self._path, kept[0])
        if self.accelerator.num_processes > 1:
            broadcast_object_list(kept)
        self.skips.follow(kept[0])

    def _lines(self) -> tuple[list[Line], list[Suspects]]:
        """Return the lines of what is pending, and the suspects of this rank for steps that were left out."""
        if not self._pending:
            return [], []
        numbers = torch.stack(
            [noted.values for noted in self._pending]
        ).tolist()  # the one wait for the device
        lines: list[Line] = []
        found: list[Suspects] = []
        for noted, values in zip(self._pending, numbers, strict=True):
            line = {"step": noted.step, **dict(zip(noted.names, values, strict=True)), "lr": noted.rate}
            lines.append(line)
            if not isfinite(line["grad_norm"]):
                found.append(suspects(noted.clues, self.accelerator.process_index, self.sources))
        self._pending = []
        return lines, found

    def _count(self) -> Counter[str]:
        """Count the rows seen since the last flush by the modalities that they have, such as "image+text"."""
        if not self._seen:
            return Counter()
        kinds, counts = torch.unique(torch.cat(self._seen), dim=0, return_counts=True)
        labels = ["+".join(compress(self.modalities, kind)) for kind in kinds.tolist()]
        return Counter({label: count for label, count in zip(labels, counts.tolist(), strict=True) if label})

    def _warn(self, lines: list[Line]) -> None:
        """Say what a misspelt target or pair looks like, once."""
        if self._warned or not lines:
            return
        self._warned = True
        for key, value in lines[0].items():
            if key.startswith("loss/") and value == 0:
                name = key.removeprefix("loss/")
                self.progress.warn(
                    f"objectives.{name} had loss 0 in step {int(lines[0]['step'])}: no row took part"
                )
        for name in self.modalities:
            if not any(name in kind.split("+") for kind in self.presence):
                self.progress.warn(f"encoders.{name}: no row of the first batch has {name}")

    def _expect_rows(self, step: float) -> None:
        """Raise DataError when no row so far has a modality, and there is little hope that one will."""
        bad = self.ledger.rows
        if self.presence or (len(bad) < HOPELESS and step < min(HOPELESS, self.steps)):
            return
        if bad:
            raise DataError(
                f"not one row could be read so far: {self.ledger.summary()}; all are in {self.ledger.path}"
            )
        raise DataError(
            f"not one row so far has any of {', '.join(self.modalities)}; sources give rows by these names, "
            "such as `datasets` by its option columns; `fusion data` tells what is in them"
        )

    def _write(self, lines: list[Line]) -> None:
        jsonl.append(self._path, lines)
        self.followers.log(lines)
        if lines:
            self.progress.show(lines[-1]["step"], lines[-1]["loss"])

    def _follow(self, lines: list[Line]) -> None:
        """Tell which steps were left out. Raises TrainingError when they are too many in a row."""
        too_many = self.skips.follow(lines)
        if too_many:
            raise TrainingError(self._stopped(too_many))
        for line in lines:
            if "skipped" in line and not self.skips.excused(line):
                self.progress.warn(f"step {line['step']} is left out: {line['skipped']}{told([line])}")

    def _stopped(self, lines: list[Line]) -> str:
        first, last = lines[0]["step"], lines[-1]["step"]
        return (
            f"{len(lines)} steps in a row, {first} to {last}, were left out: {lines[-1]['skipped']}"
            f"{told(lines)}; all rows are in {self._path}, earlier checkpoints, if any, in "
            f"{self.run.checkpoints}"
        )
