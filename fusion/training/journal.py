"""What a training writes down: losses, rows by presence, bad rows. The device is asked only now and then."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from fusion.data import lines as jsonl
from fusion.data.collate import BadRow
from fusion.data.ledger import Ledger
from fusion.data.loader import Loaded
from fusion.errors import DataError, TrainingError
from fusion.model import Losses
from fusion.recipe import Train
from fusion.registry import Registry
from fusion.run import Run
from fusion.training.progress import Progress

FINITE = "finite/"
HOPELESS = 5  # unreadable rows, and not one readable before them


class _Noted(NamedTuple):
    """A step whose numbers are still on the device."""

    step: int
    rate: float
    names: list[str]
    values: Tensor


class _Heard(NamedTuple):
    """What one rank has to tell the others."""

    bad: list[BadRow]
    presence: Counter[str]


class Journal:
    """Notes every step on the device and flushes them to the run folder, the plugins and the terminal."""

    def __init__(
        self,
        run: Run,
        train: Train,
        origins: Mapping[str, str],
        accelerator: Accelerator,
        registry: Registry,
        progress: Progress,
    ) -> None:
        self.run, self.accelerator, self.origins = run, accelerator, origins
        self.registry, self.progress = registry, progress
        self.ledger = Ledger(run.folder / "ledger.jsonl", train.max_bad, accelerator.is_main_process)
        self.presence: Counter[str] = Counter()
        self.modalities = [path.removeprefix("encoders.") for path in origins if path.startswith("encoders.")]
        self._warned = False
        self._pending: list[_Noted] = []
        self._bad: list[BadRow] = []
        self._seen: Counter[str] = Counter()

    def note(self, step: int, rate: float, losses: Losses, norm: Tensor, loaded: Loaded) -> None:
        """Remember a step (from 1) without waiting for the device."""
        parts = {"loss": losses.total, **{f"loss/{name}": loss for name, loss in losses.parts.items()}}
        parts["grad_norm"] = norm
        parts |= {f"{FINITE}{name}": finite for name, finite in losses.finite.items()}
        values = torch.stack([value.detach().float() for value in parts.values()])
        self._pending.append(_Noted(step, rate, list(parts), values))
        self._bad += loaded.bad
        self._seen.update(_presence(loaded))

    def flush(self) -> None:
        """Write down what is pending; every rank calls it at the same step.

        Raises TrainingError for a loss or gradient that is not finite, and DataError for too many bad rows,
        on all ranks.
        """
        ranks = [_Heard(self._bad, self._seen)]
        if self.accelerator.num_processes > 1:
            ranks = gather_object(ranks)
        self._bad, self._seen = [], Counter()
        for heard in ranks:
            self.presence.update(heard.presence)
        lines = self._lines()
        # a loss may be finite while its gradient is not; with a loss scaler that is an everyday thing
        watched = ["loss"] if self.accelerator.scaler is not None else ["loss", "grad_norm"]
        failed = next((line for line in lines if not all(math.isfinite(line[key]) for key in watched)), None)
        if self.accelerator.is_main_process:
            self._write(lines if failed is None else lines[: lines.index(failed)])
        self.ledger.add(row for heard in ranks for row in heard.bad)
        if not self.presence and len(self.ledger.rows) >= HOPELESS:
            raise DataError(
                f"not one row could be read so far: {self.ledger.summary()}; all are in {self.ledger.path}"
            )
        self._warn(lines)
        if failed is not None:
            raise TrainingError(self._not_finite(failed))

    def close(self) -> None:
        """Say at the end what was left out."""
        bad = self.ledger.rows
        if bad:
            told = self.ledger.summary()
            self.progress.warn(f"{len(bad)} rows could not be read: {told}; all are in {self.ledger.path}")

    def rewind(self, step: int) -> None:
        """Forget what a run wrote after the step from which it goes on."""
        if self.accelerator.is_main_process:
            path = self.run.folder / "metrics.jsonl"
            jsonl.rewrite(path, [line for line in jsonl.read(path) if line["step"] <= step])

    def _lines(self) -> list[dict[str, float]]:
        if not self._pending:
            return []
        numbers = torch.stack(
            [noted.values for noted in self._pending]
        ).tolist()  # the one wait for the device
        lines = [
            {"step": noted.step, **dict(zip(noted.names, values, strict=True)), "lr": noted.rate}
            for noted, values in zip(self._pending, numbers, strict=True)
        ]
        self._pending = []
        return lines

    def _warn(self, lines: list[dict[str, float]]) -> None:
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

    def _write(self, lines: list[dict[str, float]]) -> None:
        kept = [{key: value for key, value in line.items() if not key.startswith(FINITE)} for line in lines]
        jsonl.append(self.run.folder / "metrics.jsonl", kept)
        for line in kept:
            losses = {key: value for key, value in line.items() if key.startswith("loss")}
            self.registry.notify("fusion_step_end", step=int(line["step"]), losses=losses)
        if kept:
            self.progress.show(int(kept[-1]["step"]), kept[-1]["loss"])

    def _not_finite(self, line: dict[str, float]) -> str:
        parts = ", ".join(
            f"{key.removeprefix('loss/')} {value}" for key, value in line.items() if "loss/" in key
        )
        broken = [
            key.removeprefix(FINITE) for key, value in line.items() if key.startswith(FINITE) and not value
        ]
        blamed = [
            f"encoders.{name} ({self.origins[f'encoders.{name}']}) gave NaN or infinity" for name in broken
        ]
        what, value = "loss", line["loss"]
        if math.isfinite(value):
            what, value = "gradient", line["grad_norm"]
        return (
            f"the {what} became {value} at step {int(line['step'])} ({parts}); "
            + ("; ".join(blamed) if blamed else "lower train.lr or train.clip")
            + f"; earlier checkpoints, if any, are in {self.run.checkpoints}"
        )


def _presence(loaded: Loaded) -> Counter[str]:
    """Count rows by the modalities that they have, such as "image+text"."""
    names = list(loaded.batch.present)
    flags = torch.stack(list(loaded.batch.present.values()), dim=1)  # (b, modalities), still on the host
    kinds, counts = torch.unique(flags, dim=0, return_counts=True)
    labels = [
        "+".join(name for name, flag in zip(names, kind, strict=True) if flag) for kind in kinds.tolist()
    ]
    return Counter({label: count for label, count in zip(labels, counts.tolist(), strict=True) if label})
