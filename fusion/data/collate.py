"""Turn rows into a batch: decode what is present, mark what is absent, stack."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusion.batch import Batch, Row, Target
from fusion.data.order import Slots
from fusion.encoder import Processor
from fusion.errors import DataError


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

    def decode(
        self, row: Row, rng: np.random.Generator | None = None, modality_dropout: float = 0.0
    ) -> Sample:
        """Read one row; `rng` is given in training only. Raises DataError that names the modality."""
        present = [name for name in self.processors if row.get(name) is not None]
        decoded = {}
        for name in present:
            try:
                decoded[name] = self.processors[name].decode(row[name], rng)
            except DataError as error:
                raise DataError(f"{name}: {error}") from error
        content = {name: fingerprint(row[name]) for name in present}
        targets = {
            name: _read_target(name, row[name], target)
            for name, target in self.targets.items()
            if row.get(name) is not None
        }
        # drawn last, so that modality dropout leaves the augmentation as it is
        shown = _survivors(present, rng, modality_dropout)
        return Sample(decoded, shown, content, targets)

    def stack(self, samples: Sequence[Sample], slots: Slots) -> Batch:
        """Stack b decoded rows into a batch."""
        inputs = {}
        for name, processor in self.processors.items():
            decoded = [sample.decoded[name] for sample in samples if name in sample.decoded]
            if decoded:
                inputs[name] = processor.collate(decoded)
        targets = {}
        for name, target in self.targets.items():
            targets[name] = torch.full((len(samples), *target.shape), target.missing, dtype=target.dtype)
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


def fingerprint(raw: Any) -> int:
    """Return a number that is equal for equal samples in every process; 0 for types it cannot compare."""
    match raw:
        case str() | Path():
            data = str(raw).encode("utf-8", "surrogatepass")  # a file's name may hold any byte
        case bytes():
            data = raw
        case np.ndarray() if not raw.dtype.hasobject:
            data = _bytes(raw)
        case (np.ndarray() as wave, int() | float() | np.number() as rate) if not wave.dtype.hasobject:
            data = f"{float(rate)} Hz ".encode() + _bytes(wave)
        case _:
            return 0
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True) or 1


def _bytes(array: npt.NDArray[Any]) -> bytes:
    return f"{array.dtype.str} {array.shape} ".encode() + array.tobytes()


def _survivors(
    present: Sequence[str], rng: np.random.Generator | None, modality_dropout: float
) -> frozenset[str]:
    """Hide each present modality with the given probability, but never all of them."""
    if rng is None or modality_dropout == 0.0 or not present:
        return frozenset(present)
    draws = dict(zip(present, rng.random(len(present)), strict=True))
    kept = frozenset(name for name, draw in draws.items() if draw >= modality_dropout)
    return kept or frozenset([max(draws, key=draws.__getitem__)])


def _read_target(name: str, raw: Any, target: Target) -> Tensor:
    try:
        value = np.asarray(raw)
    except (TypeError, ValueError, RuntimeError) as error:  # a ragged list, a tensor on a GPU
        raise DataError(f"target {name!r} is {raw!r}, not a number") from error
    if value.dtype.kind not in "biuf":
        raise DataError(f"target {name!r} is {raw!r}, not a number")
    if value.shape != target.shape:
        raise DataError(f"target {name!r} has shape {value.shape}, expected {target.shape}")
    if value.dtype.kind == "f" and not target.dtype.is_floating_point:
        raise DataError(f"target {name!r} is {raw!r}, not a whole number")
    if target.below is not None and ((value < 0) | (value >= target.below)).any():
        raise DataError(f"target {name!r} is {raw!r}, outside 0..{target.below - 1}")
    tensor = torch.from_numpy(value.astype(np.float64 if value.dtype.kind == "f" else np.int64))
    tensor = tensor.to(target.dtype)
    if tensor.isinf().any():
        raise DataError(f"target {name!r} is {raw!r}, too large or infinite")
    return tensor
