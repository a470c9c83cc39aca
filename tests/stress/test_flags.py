"""Each red flag is shown by a model that deserves it, and none by one that does not."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fusion import Encoding, Model
from fusion.attack import Delta, Harm, Norm, Region
from fusion.evaluation.crew import Crew
from fusion.report.flags import flags as told
from fusion.report.stress import Record
from fusion.report.tables import Mark, Marked
from fusion.stress.flags import Flags
from fusion.threat.attacker import Attacker
from fusion.threat.harm import Goal
from tests.threat.conftest import Tower, batch_of

Rows = list[dict[str, Any]]
RADIUS = 0.02


class Random(Tower):
    """Answers otherwise every time."""

    def forward(self, x: Tensor, length: Tensor | None = None) -> Encoding:
        return super().forward(x + 0.1 * torch.randn_like(x))


class Flat(Tower):
    """Rounds what it is given: nearly everywhere the gradient is 0."""

    def forward(self, x: Tensor, length: Tensor | None = None) -> Encoding:
        return super().forward((4 * x).round() / 4)


class Wavy(Tower):
    """Rises with its input, but in waves: small steps stay in the first trough, large ones do not."""

    period, height = 0.25 * RADIUS, 0.1 * RADIUS

    def forward(self, x: Tensor, length: Tensor | None = None) -> Encoding:
        return super().forward(x + self.height * (2 * math.pi / self.period * x).sin())


class Long(Wavy):
    """As wavy, with waves that hold up steps of half the radius, too."""

    period, height = RADIUS, 0.3 * RADIUS


def seen(model: Model, rows: Rows, tower: type[Tower], norm: Norm = "linf") -> dict[str, Any]:
    """Let flags look at two batches; samples are multiples of a period, where waves rise."""
    model.encoders["wave"].__class__ = tower
    for row in rows:
        if "wave" in row:
            row["wave"] = [round(number / 0.1) * 0.1 for number in row["wave"]]
    attacker = Attacker(model, still, Goal({"kind": 1.0}), {"wave": RADIUS}, norm, 0)
    looked = Flags()
    for places in ([0, 1, 2], [3, 4], [2]):  # the last has no wave
        looked.look(attacker.scene(batch_of(model, rows, places)))
    return looked.gathered(Crew())


def still(harm: Harm, region: Region) -> Delta:
    return region.zero()


def marked(found: dict[str, Any]) -> list[int]:
    """Return the columns of the table that are red."""
    seen = {"flags": {"wave": found}, "spared": ["word"]}
    record = Record(stress="attack", axis="radius", seed=0, told=seen)
    [table] = told(record)
    assert table.note.endswith("Not attacked, as no raw samples can be moved a little: word.")
    [line] = table.rows
    return [at for at, cell in enumerate(line) if isinstance(cell, Marked) and cell.mark is Mark.WORSE]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_honest_model_has_no_flag(model: Model, rows: Rows, norm: Norm) -> None:
    found = seen(model, rows, Tower, norm)
    assert found["rows"] == 3  # of five, one has no wave and one no label
    assert found["random_outputs"] == found["zero_gradients"] == 0
    assert found["more_steps_weaker"] is found["one_step_stronger"] is False
    assert marked(found) == []


def test_random_answers_are_a_flag(model: Model, rows: Rows) -> None:
    found = seen(model, rows, Random)
    assert found["random_outputs"] == 1
    assert 2 in marked(found)


def test_gradients_of_zero_are_a_flag(model: Model, rows: Rows) -> None:
    found = seen(model, rows, Flat)
    assert found["zero_gradients"] == 1
    assert found["random_outputs"] == 0
    assert marked(found) == [3]


def test_more_steps_that_do_less_are_a_flag(model: Model, rows: Rows) -> None:
    found = seen(model, rows, Wavy)
    assert found["more_steps_weaker"]
    assert found["harm"]["20"] < found["harm"]["5"]
    assert 5 in marked(found)


def test_one_step_that_does_more_is_a_flag(model: Model, rows: Rows) -> None:
    found = seen(model, rows, Long)
    assert found["one_step_stronger"]
    assert not found["more_steps_weaker"]
    assert marked(found) == [4]


def test_without_flags_there_is_no_table() -> None:
    assert told(Record(stress="corruption", axis="severity", seed=0)) == []
    assert Flags().gathered(Crew()) == {}
