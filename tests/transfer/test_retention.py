"""What a training has left of its earlier run: exactly all where nothing changed; adapters are merged."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fusion import DataError, Registry, Run, load, train
from fusion.evaluation.evaluate import evaluate
from fusion.files import sha256
from fusion.training.launch import launch
from fusion.transfer.retention import Retention, retention
from tests.training.conftest import registry, toy
from tests.training.toys import recipe

__all__ = ["recipe", "registry", "toy"]

EVALUATE = {"sources": {"all": {"name": "toy", "view": ["image", "text", "audio"], "rows": 60}}}
KEY = "subsets/image+text+audio/accuracy"
Kept = Callable[[Run], Retention | None]


@pytest.fixture(scope="module")
def earlier(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = recipe({"evaluate": EVALUATE, "train.steps": 30})
    return train(made, tmp_path_factory.mktemp("earlier") / "run", registry=registry)


@pytest.fixture
def kept(registry: Registry) -> Kept:
    return lambda run: retention(run, registry, launch(run.recipe.train))


@pytest.fixture
def later(registry: Registry, earlier: Run, tmp_path: Path) -> Callable[..., Run]:
    def build(changes: dict[str, Any], name: str = "later") -> Run:
        settings = {"evaluate": EVALUATE, "init": str(earlier.folder), "train.steps": 3, **changes}
        return train(recipe(settings), tmp_path / name, registry=registry)

    return build


def _set(run: Run, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change the weights of a run and what its manifest says of them."""
    weights = load_file(run.model_file)
    change(weights)
    save_file(weights, run.model_file)
    manifest = run.manifest
    manifest["files"]["model.safetensors"] = sha256(run.model_file)
    run.write_json("manifest.json", manifest)


def test_where_nothing_changed_everything_is_kept_to_the_last_bit(
    later: Callable[..., Run], earlier: Run, kept: Kept
) -> None:
    run = later({})
    _set(run, lambda weights: weights.update(load_file(earlier.model_file)))
    found = kept(run)
    assert found is not None
    assert found.after == found.earlier
    assert found.after == {key: earlier.metrics[key] for key in found.after}
    assert found.after[KEY] != pytest.approx(1 / 3, abs=0.01)  # it knows something, of three classes
    assert found.before == found.after  # the same evaluation, of all that was taken


def test_encoders_that_forgot_are_measured_with_the_earlier_heads(
    later: Callable[..., Run], earlier: Run, kept: Kept
) -> None:
    def forget(weights: dict[str, torch.Tensor]) -> None:
        for name in weights:
            if name.startswith("encoders."):
                weights[name].zero_()
            if name.startswith("objectives.kind"):
                weights[name].fill_(float("nan"))  # the later head has no part in it

    run = later({})
    _set(run, forget)
    found = kept(run)
    assert found is not None
    assert found.earlier[KEY] == earlier.metrics[KEY]
    assert found.after[KEY] == pytest.approx(1 / 3, abs=0.01)  # one class for all rows


def test_adapters_are_merged_before(
    later: Callable[..., Run], earlier: Run, kept: Kept, registry: Registry
) -> None:
    tune = {"mode": "lora", "rank": 2, "alpha": 2}
    tuned = {f"encoders.{name}.tune": tune for name in ("image", "text", "audio")}
    run = later({**tuned, "train.lr": 0.3})
    found = kept(run)
    assert found is not None
    learned = load_file(run.model_file)
    model = load(earlier, "cpu", registry).model
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.startswith("objectives."):
                continue
            path = f"{name.removesuffix('.weight')}.parametrizations.weight"
            parts = [learned.get(f"{path}.{part}") for part in ("original", "0.up", "0.down")]
            value.copy_(learned[name] if parts[0] is None else parts[0] + parts[1] @ parts[2])
    expected = evaluate(model, earlier.recipe, registry, launch(run.recipe.train), earlier.metrics).metrics
    assert found.after == pytest.approx(expected, abs=1e-6)
    assert found.after != found.earlier


def test_another_fuser_and_another_width_leave_the_earlier_ones(
    later: Callable[..., Run], kept: Kept
) -> None:
    run = later({"fuser": {"name": "mean"}, "train.lr": 1e-12, "train.weight_decay": 0.0})
    found = kept(run)
    assert found is not None
    assert found.after[KEY] == found.earlier[KEY]  # nothing of `attend` was exchanged
    assert kept(later({"width": 4, "train.lr": 1e-12, "train.weight_decay": 0.0}, "narrow")) is not None


def test_it_is_measured_once_for_the_same_weights(later: Callable[..., Run], kept: Kept) -> None:
    run = later({})
    first = kept(run)
    assert first is not None
    content = json.loads((run.folder / "retention.json").read_text("utf-8"))
    assert content["sha256"]["later"] == sha256(run.model_file)
    content["after"][KEY] = 0.125
    run.write_json("retention.json", content)
    again = kept(run)
    assert again is not None
    assert again.after[KEY] == 0.125
    content["sha256"]["later"] = "of other weights"
    run.write_json("retention.json", content)
    assert kept(run) == first


def test_without_the_earlier_run_nothing_is_known(
    later: Callable[..., Run], earlier: Run, kept: Kept, tmp_path: Path, registry: Registry
) -> None:
    assert kept(earlier) is None  # it starts from nothing
    shutil.copytree(earlier.folder, tmp_path / "copy")
    run = later({"init": str(tmp_path / "copy")})
    _set(Run(tmp_path / "copy"), lambda weights: weights.clear() or weights.update({"x": torch.zeros(1)}))
    assert kept(run) is None  # it is another one now
    shutil.rmtree(tmp_path / "copy")
    assert kept(run) is None
    file = later({"init": str(earlier.model_file)}, "file")
    assert kept(file) is None


def test_rows_that_are_gone_are_an_error(
    later: Callable[..., Run], earlier: Run, kept: Kept, tmp_path: Path
) -> None:
    shutil.copytree(earlier.folder, tmp_path / "copy")
    run = later({"init": str(tmp_path / "copy")})
    path = tmp_path / "copy/recipe.yaml"
    path.write_text(path.read_text("utf-8").replace("rows: 60", "rows: 0"), "utf-8")
    record = earlier.manifest
    record["files"]["recipe.yaml"] = sha256(path)
    Run(tmp_path / "copy").write_json("manifest.json", record)
    with pytest.raises(DataError, match=r"evaluate.sources.all is empty"):
        kept(run)
