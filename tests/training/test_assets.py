"""A run holds what its encoders are built from, and says where their weights came from."""

import json
from pathlib import Path

import pytest
import torch

from fusion import Registry, Run, RunError, load, train
from tests.training.toys import recipe

ROW = {"audio": [1.0, 2.0, 3.0, 4.0]}


@pytest.fixture
def scaled(registry: Registry, tmp_path: Path) -> Run:
    """A run of which one encoder was built from a file that is gone."""
    model = tmp_path / "scale.txt"
    model.write_text("3.0")
    chosen = recipe({"encoders.audio": {"name": "toy-scaled", "model": str(model)}, "train.steps": 2})
    run = train(chosen, tmp_path / "run", registry=registry)
    model.unlink()
    return run


def test_a_run_is_loaded_where_what_its_encoders_were_built_from_is_gone(
    scaled: Run, registry: Registry
) -> None:
    predictor = load(scaled, registry=registry)
    tower, align = (part["audio"] for part in (predictor.model.encoders, predictor.model.align))
    with torch.no_grad():
        hidden = tower.layer(3.0 * torch.tensor([ROW["audio"]])).tanh()
        expected = torch.nn.functional.normalize(align.project(align.norm(hidden)))
    assert torch.equal(predictor.encode(ROW).vectors["audio"], expected)


def test_only_encoders_that_need_something_have_a_folder(scaled: Run) -> None:
    assert [path.name for path in scaled.assets.iterdir()] == ["audio"]


def test_a_run_whose_encoders_need_nothing_has_no_such_folder(registry: Registry, tmp_path: Path) -> None:
    run = train(recipe({"train.steps": 1}), tmp_path / "run", registry=registry)
    assert not run.assets.exists()
    assert run.manifest["weights"] == {}
    assert list(run.manifest["files"]) == ["recipe.yaml", "model.safetensors"]


def test_the_manifest_says_where_weights_came_from(scaled: Run, tmp_path: Path) -> None:
    assert scaled.manifest["weights"] == {"audio": {"model": str(tmp_path / "scale.txt"), "revision": "r1"}}
    assert list(scaled.manifest["files"]) == ["recipe.yaml", "model.safetensors", "encoders/audio/scale"]


def test_what_encoders_are_built_from_is_refused_when_it_was_changed(scaled: Run, registry: Registry) -> None:
    (scaled.assets / "audio" / "scale").write_text("4.0")
    with pytest.raises(RunError, match=r"encoders/audio/scale is missing or damaged: its SHA-256 is not"):
        load(scaled, registry=registry)


def test_what_encoders_are_built_from_is_refused_when_it_is_gone(scaled: Run, registry: Registry) -> None:
    (scaled.assets / "audio" / "scale").unlink()
    with pytest.raises(RunError, match="encoders/audio/scale is missing or damaged"):
        load(scaled, registry=registry)


def test_the_origin_survives_in_json(scaled: Run) -> None:
    written = json.loads((scaled.folder / "manifest.json").read_text("utf-8"))
    assert written["weights"]["audio"]["revision"] == "r1"
