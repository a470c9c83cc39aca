"""Steps that are left out: which rows made them so, and when there are too many."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fusion.batch import Batch
from fusion.losses import Losses

IN_A_ROW = 10
HALVINGS = 16
"""Steps that a loss scaler may leave out on its way from 65,536, where it begins, to 1."""
TOLD = 5

Line = dict[str, Any]
Numbers = dict[str, list[int]]
"""Rows by source."""
Suspects = dict[str, Numbers]
"""By "encoders.image" or "fuser", whose vectors are not finite, or "inputs.image"."""


class Clues(NamedTuple):
    """What it takes to find the rows of a rank that made a step NaN; on the device until somebody asks."""

    vectors: Mapping[str, Tensor]  # by part of the model: (b,) bool, finite or not, of the rows of all ranks
    inputs: Mapping[str, Tensor]  # by modality: (n,) sums, of the rows of this rank
    batch: Batch  # of this rank, without inputs, on the host


def clues(losses: Losses, batch: Batch, host: Batch) -> Clues:
    """Collect them from a batch on the device, and from the same one on the host."""
    sums: dict[str, list[Tensor]] = {}
    for part in batch.parts or (batch,):
        for name, inputs in part.inputs.items():
            if not host.present[name].any():  # lent by another rank
                continue
            rows = len(next(iter(inputs.values())))  # others may hold buckets, of fewer
            floats = [one for one in inputs.values() if one.is_floating_point() and len(one) == rows]
            if floats:
                sums.setdefault(name, []).append(_sums(floats))
    joined = {name: torch.cat(some) for name, some in sums.items()}
    return Clues(losses.finite, joined, host._replace(inputs={}, targets={}, parts=()))


def suspects(clues: Clues, rank: int, sources: Sequence[str]) -> Suspects:
    """Return the rows of this rank whose vectors, or of these the inputs, are not finite."""
    batch, found = clues.batch, {}
    size = len(batch.source)
    for part, every in clues.vectors.items():
        if every.all():
            continue
        found[part] = _named(~every.cpu()[rank * size : (rank + 1) * size], batch, sources)
        name = part.removeprefix("encoders.")
        if name in clues.inputs:
            bad = torch.zeros(size, dtype=torch.bool)
            bad[batch.present[name]] = ~clues.inputs[name].isfinite().cpu()
            found[f"inputs.{name}"] = _named(bad, batch, sources)
    return found


def blame(ranks: Iterable[Suspects]) -> Suspects:
    """Join what all ranks suspect, and keep the first cause: what comes after it is not finite either."""
    joined: Suspects = {}
    for found in ranks:
        for part, rows in found.items():
            for source, some in rows.items():
                joined.setdefault(part, {}).setdefault(source, []).extend(some)
    for part in [part for part in joined if part.startswith("inputs.")]:
        joined.pop(part.replace("inputs.", "encoders.", 1), None)
    if len(joined) > 1:
        joined.pop("fuser", None)
    return joined


def mark(line: Line, found: Suspects, origins: Mapping[str, str], scaled: bool) -> None:
    """Write into the line of a step why it is left out, and which rows are to blame."""
    losses = {key.removeprefix("loss/"): value for key, value in line.items() if key.startswith("loss/")}
    broken = {name: value for name, value in losses.items() if not math.isfinite(value)}
    if found:
        reasons = [_accused(part, origins) for part in found]
    elif broken:
        reasons = [
            f"objectives.{name} ({origins[f'objectives.{name}']}) gave {value}"
            for name, value in broken.items()
        ]
    else:
        shown = ", ".join(f"{name} {value}" for name, value in losses.items())
        remedy = "the loss scale is halved" if scaled else "lower train.lr or train.clip"
        reasons = [f"the gradient became {line['grad_norm']} ({shown}); {remedy}"]
    rows: Numbers = {}
    for some in found.values():
        for source, numbers in some.items():
            rows[source] = sorted({*rows.get(source, []), *numbers})
    line["skipped"], line["rows"] = "; ".join(reasons), rows


def told(lines: Iterable[Line]) -> str:
    """Name some of the rows that are to blame for these steps, or say nothing."""
    rows = {(source, row) for line in lines for source, some in line["rows"].items() for row in some}
    if not rows:
        return ""
    some = ", ".join(f"row {row} of {source!r}" for source, row in sorted(rows)[:TOLD])
    return f": {some}" + (f" and {len(rows) - TOLD:,} more" if len(rows) > TOLD else "")


class Skips:
    """Counts the steps that were left out, and how many of them came in a row."""

    def __init__(self, scaled: bool) -> None:
        self.scaled, self.count = scaled, 0
        self.row: list[Line] = []

    def follow(self, lines: Iterable[Line]) -> list[Line]:
        """Count on; return the first row of steps that is too long to go on, or nothing."""
        for line in lines:
            if "skipped" not in line:
                self.row = []
                continue
            self.count += 1
            self.row.append(line)
            serious = [line for line in self.row if not self.excused(line)]
            if len(serious) >= IN_A_ROW or len(self.row) >= IN_A_ROW + HALVINGS:
                return self.row
        return []

    def excused(self, line: Line) -> bool:
        """Tell whether a step was left out as a loss scaler does it every now and then."""
        return self.scaled and math.isfinite(line["loss"])


def _sums(inputs: Sequence[Tensor]) -> Tensor:
    """Return for each of n rows a number that is finite if all of its numbers are, (n,)."""
    sums = [part.unsqueeze(-1).flatten(1).sum(1, dtype=torch.float32) for part in inputs]
    return torch.stack(sums).sum(0)


def _named(bad: Tensor, batch: Batch, sources: Sequence[str]) -> Numbers:
    rows: Numbers = {}
    for source, row in zip(batch.source[bad].tolist(), batch.row[bad].tolist(), strict=True):
        rows.setdefault(sources[source], []).append(row)
    return rows


def _accused(part: str, origins: Mapping[str, str]) -> str:
    if part.startswith("inputs."):
        return f"{part.removeprefix('inputs.')} holds NaN or infinity"
    return f"{part} ({origins[part]}) gave NaN or infinity"
