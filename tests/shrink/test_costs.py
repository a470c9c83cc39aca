"""Size is that of the file; speed is measured in turns, from rows that can be read."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
import torch

from fusion import DataError, Predictor, Registry, Row, Run, load
from fusion.compressions.packing import pack
from fusion.shrink import speed
from fusion.shrink.size import size
from fusion.tensors import write


def test_the_zeros_are_counted_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    wide = torch.zeros(3, 40_000)  # read in several parts
    wide[0] = 1
    write(path, {"wide": wide, "codes": torch.tensor([0, 1, 2, 0], dtype=torch.int8)})
    found = size(path)
    assert found.bytes == path.stat().st_size > 480_000
    assert found.zeros == (80_000 + 2) / (120_000 + 4)


def test_packed_zeros_are_zeros_and_packed_numbers_are_not_counted(tmp_path: Path) -> None:
    path, linear = tmp_path / "model.safetensors", torch.nn.Linear(40, 20, bias=False)
    torch.nn.init.zeros_(linear.weight[:16].detach())
    net = torch.nn.Sequential(linear, torch.nn.Linear(1, 200, bias=False))
    pack(linear, "weight")
    write(path, net.state_dict())
    assert size(path).zeros == 640 / 1000
    write(path, {"nibbles": torch.full((20, 20), 0x88, dtype=torch.uint8)})
    assert size(path).zeros is None


def test_both_models_are_asked_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(speed, "_answer", lambda model, rows: asked.append((model, len(rows))))
    rows: Sequence[Row] = [{"image": 1}, {"image": 1, "text": 2}, {"text": 3}]
    found = speed.speeds(cast("list[Predictor]", ["old", "new"]), rows)
    rounds = speed.LEAST + 2
    assert asked[: 2 * rounds] == [("new", 1), ("old", 1), ("old", 1), ("new", 1)] * (rounds // 2)
    assert set(asked[2 * rounds :]) == {("old", 64), ("new", 64)}
    assert len(found) == 2
    assert all(one.p95 >= one.p50 > 0 and one.rows_per_second > 0 for one in found)


def test_rows_are_those_that_the_model_reads(full: Run, registry: Registry) -> None:
    model = load(full, "cpu", registry)
    rows = speed.rows_to_try(full.recipe, model, registry)
    assert len(rows) == 30
    assert {name for row in rows for name in row} == {"image", "text", "audio"}
    broken = full.recipe.model_copy(
        update={"evaluate": full.recipe.evaluate.model_copy(update={"sources": {}})}
    )
    with pytest.raises(DataError, match=r"evaluate\.sources has no row that can be read"):
        speed.rows_to_try(broken, model, registry)
