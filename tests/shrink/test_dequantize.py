"""A run is undone whole or not at all."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fusion import Registry, Run, RunError, compress, load
from fusion.recipe.picks import Pick
from fusion.shrink import dequantize as module
from fusion.shrink.dequantize import dequantize
from fusion.shrink.rebuild import applied

PRUNED = Pick.model_validate({"name": "prune-magnitude", "sparsity": 0.9})


def smaller(full: Run, place: Path, registry: Registry, *chosen: Pick) -> Run:
    made = compress(full, place, chosen=chosen, max_drop=1, registry=registry).run
    assert made is not None
    return made


def test_a_run_that_is_only_pruned_has_nothing_to_undo(full: Run, registry: Registry, tmp_path: Path) -> None:
    made = smaller(full, tmp_path / "pruned", registry, PRUNED)
    with pytest.raises(RunError, match=r"has nothing to undo \(compressed: prune-magnitude\)"):
        dequantize(made, tmp_path / "floats", registry=registry)
    assert [path.name for path in tmp_path.iterdir()] == ["pruned"]


def test_zeros_stay_zeros_in_ordinary_weights(full: Run, registry: Registry, tmp_path: Path) -> None:
    small = smaller(full, tmp_path / "small", registry, PRUNED, Pick(name="halves"))
    made = dequantize(small, tmp_path / "floats", registry=registry)
    assert applied(made) == []
    assert "<h1>floats</h1>" in made.report.read_text("utf-8")
    weights, before = load_file(made.model_file), load_file(full.model_file)
    key = "align.text.project.weight"
    assert {name: value.shape for name, value in weights.items()} == {
        name: value.shape for name, value in before.items()
    }
    kept = weights[key] != 0
    assert int((~kept).sum()) == round(0.9 * kept.numel())
    assert torch.equal(weights[key][kept], before[key][kept].half().float())
    load(made, "cpu", registry)


def test_an_interrupt_leaves_nothing(
    full: Run, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = smaller(full, tmp_path / "small", registry, Pick(name="halves"))

    def finish(run: Run, *_: Any) -> None:
        assert (run.folder / "recipe.yaml").is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "finish", finish)
    with pytest.raises(KeyboardInterrupt, match="the run is as it was, and nothing new was kept"):
        dequantize(small, tmp_path / "deep" / "floats", registry=registry)
    assert [path.name for path in tmp_path.iterdir()] == ["small"]
