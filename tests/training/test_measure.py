"""A run, and a model as it is now, are measured as the training measured."""

from pathlib import Path

import pytest
import torch

from fusion import Registry, Run, load, measure, train
from tests.training.toys import recipe


@pytest.fixture(scope="module")
def run(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    measured = {"evaluate": {"sources": {"all": {"name": "toy", "view": ["image", "text", "audio"]}}}}
    return train(recipe(measured), tmp_path_factory.mktemp("measured") / "run", registry=registry)


def test_a_run_is_measured_as_it_was(run: Run, registry: Registry) -> None:
    found = measure(run, registry=registry)
    assert len(found) > 40
    assert found == {key: run.metrics[key] for key in found}
    assert measure(str(run.folder), ["evaluate.limit=4"], registry=registry)["evaluate/rows"] == 4


def test_a_loaded_model_is_measured_as_it_is_now(run: Run, registry: Registry) -> None:
    predictor = load(run, registry=registry)
    same = measure(predictor, registry=registry)
    assert {key for key in same if same[key] != run.metrics[key]} == {
        key for key in same if key.endswith("emergent") and run.metrics[key] is not None
    }
    head = predictor.model.objectives["kind"].head[1]
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))
    assert measure(predictor, registry=registry)["subsets/image/accuracy"] == pytest.approx(1 / 3)


def test_nothing_is_written(run: Run, registry: Registry, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    measure(run, registry=registry)
    assert before == {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
