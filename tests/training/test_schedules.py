"""Objectives that change over a training: a stopped one goes on bit for bit."""

from pathlib import Path

import pytest

from fusion import Registry, train
from tests.training.toys import interrupted, lines, recipe, same, weights

OBJECTIVES = {
    "adversarial": {"name": "adversarial", "hidden": 8},
    "cdan": {"name": "cdan", "classes": 3, "hidden": 8},
    "groupdro": {"name": "groupdro", "classes": 3, "rate": 0.5},
}


def test_schedules_and_weights_of_sources_survive_a_stop(registry: Registry, tmp_path: Path) -> None:
    made = recipe({"objectives": OBJECTIVES})
    whole = train(made, tmp_path / "whole", registry=registry)
    resumed = interrupted(made, tmp_path / "run", 4, registry)
    assert lines(resumed) == lines(whole)
    assert same(weights(whole), weights(resumed))
    shares = weights(whole)["objectives.groupdro.weights"]
    assert shares.sum() == pytest.approx(1)
    assert (shares - 1 / 2).abs().max() > 0.01
