"""Objectives that change over a training: a stopped one goes on bit for bit."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fusion import Recipe, Registry, Run, train

Make = Callable[..., Recipe]
Lines = Callable[[Run], list[dict[str, float]]]
Weights = Callable[[Run], dict[str, Tensor]]

OBJECTIVES = {
    "adversarial": {"name": "adversarial", "hidden": 8},
    "cdan": {"name": "cdan", "classes": 3, "hidden": 8},
    "groupdro": {"name": "groupdro", "classes": 3, "rate": 0.5},
}


def test_schedules_and_weights_of_sources_survive_a_stop(
    recipe: Make,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: Lines,
    weights: Weights,
) -> None:
    made = recipe({"objectives": OBJECTIVES})
    whole = train(made, tmp_path / "whole", registry=registry)
    monkeypatch.setenv("TOY_SIGNAL", f"{int(signal.SIGTERM)}@4")
    with pytest.raises(KeyboardInterrupt):
        train(made, tmp_path / "run", registry=registry)
    monkeypatch.delenv("TOY_SIGNAL")
    resumed = train(made, tmp_path / "run", resume=True, registry=registry)
    assert lines(resumed) == lines(whole)
    ours, theirs = weights(whole), weights(resumed)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    shares = ours["objectives.groupdro.weights"]
    assert shares.sum() == pytest.approx(1)
    assert (shares - 1 / 2).abs().max() > 0.01
