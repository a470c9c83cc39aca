"""What may be moved: raw samples in their range, of rows that have them, and nothing of what is padding."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from fusion import Model, PluginError, RecipeError, Signal
from fusion.attack import Region
from fusion.threat.surface import Surface, attackable, unattackable
from tests.threat.conftest import MEAN, STD, Scans, batch_of

Rows = list[dict[str, Any]]
SCAN, WAVE = ("scan", "x"), ("wave", "x")
EVERY = range(5)


def region_of(surface: Surface, spared: int | None = None) -> Region:
    rows = torch.tensor([row != spared for row in EVERY])
    return surface.region("linf", rows, torch.arange(5))


def test_what_can_be_attacked_is_what_its_processor_says(model: Model) -> None:
    assert attackable(model.processors) == ["scan", "wave"]
    assert unattackable("word", model.processors) == (
        "word cannot be attacked: its processor names no input that holds raw samples (Processor.signals); "
        "those that can: scan, wave"
    )
    assert "did you mean 'wave'?" in unattackable("wav", model.processors)


def test_only_rows_that_have_it_are_in_a_block(model: Model, rows: Rows) -> None:
    region = region_of(Surface(batch_of(model, rows, EVERY), model.processors, {"scan": 0.1, "wave": 0.2}), 3)
    assert region.blocks[SCAN].rows.tolist() == [0, 2, 3]
    assert region.blocks[WAVE].rows.tolist() == [0, 1, 3, 4]
    torch.testing.assert_close(region.blocks[SCAN].radius.flatten(), torch.tensor([0.1, 0.1, 0.0]))
    torch.testing.assert_close(region.blocks[WAVE].radius.flatten(), torch.tensor([0.2, 0.2, 0.0, 0.2]))


def test_bounds_are_those_of_the_raw_sample(model: Model, rows: Rows) -> None:
    block = region_of(Surface(batch_of(model, rows, EVERY), model.processors, {"scan": 0.1})).blocks[SCAN]
    raw = torch.tensor(rows[0]["scan"], dtype=torch.float32)
    torch.testing.assert_close(block.high[0], 1 - raw)
    torch.testing.assert_close(block.low[0], -raw)


def test_padding_is_not_moved(model: Model, rows: Rows) -> None:
    surface = Surface(batch_of(model, rows, EVERY), model.processors, {"wave": 0.2})
    found = region_of(surface).random()[WAVE]
    assert found.shape == (4, 5)
    assert (found[0] != 0).tolist() == [True, True, True, False, False]
    assert (found[2] != 0).tolist() == [True, True, True, True, False]


def test_a_move_is_made_in_units_of_the_raw_sample_and_the_rest_stays(model: Model, rows: Rows) -> None:
    batch = batch_of(model, rows, EVERY)
    surface = Surface(batch, model.processors, {"scan": 0.1})
    moved = surface.moved(batch, {SCAN: torch.full((3, 2, 3), 0.1)})
    shift = moved.inputs["scan"]["x"] - batch.inputs["scan"]["x"]
    for channel in range(2):
        torch.testing.assert_close(shift[:, channel], torch.full((3, 3), 0.1 / STD[channel]))
    assert moved.inputs["wave"] == batch.inputs["wave"]
    assert moved.present is batch.present
    same = surface.moved(batch, region_of(surface).zero())
    assert torch.equal(same.inputs["scan"]["x"], batch.inputs["scan"]["x"])


def test_a_sample_out_of_its_range_may_stay_but_not_go_further(model: Model, rows: Rows) -> None:
    rows[1]["wave"] = [1.5, 0, 0, 0, 0]
    surface = Surface(batch_of(model, rows, [1]), model.processors, {"wave": 0.2})
    block = surface.region("linf", torch.tensor([True]), torch.arange(1)).blocks[WAVE]
    assert block.high[0, 0] == 0
    assert block.low[0, 0] == -2.5


def test_a_batch_without_the_modality_has_nothing_to_attack(model: Model, rows: Rows) -> None:
    surface = Surface(batch_of(model, rows, [1, 4]), model.processors, {"scan": 0.1})
    assert surface.region("l2", torch.ones(2, dtype=torch.bool), torch.arange(2)).blocks == {}


def test_a_modality_that_says_nothing_is_refused(model: Model, rows: Rows) -> None:
    with pytest.raises(RecipeError, match="word cannot be attacked: its processor names no input"):
        Surface(batch_of(model, rows, EVERY), model.processors, {"word": 0.1})


class Wrong(Scans):
    def __init__(self, named: str) -> None:
        self.named = named

    def collate(self, samples: Any) -> dict[str, Tensor]:
        found = super().collate(samples)
        return {**found, "one": found["x"][0], "ids": found["x"].long()}

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        return {self.named: Signal(0.0, 1.0, MEAN, STD)}


@pytest.mark.parametrize(
    ("named", "told"), [("y", "which is None"), ("ids", "which is torch.int64"), ("one", r"\(2, 3\)")]
)
def test_a_signal_that_is_none_is_named(model: Model, rows: Rows, named: str, told: str) -> None:
    model.encoders["scan"].processor = Wrong(named)
    surface = Surface(batch_of(model, rows, EVERY), model.processors, {"scan": 0.1})
    with pytest.raises(PluginError, match=f"the processor of scan names '{named}' as its signal, .*{told}"):
        region_of(surface)
