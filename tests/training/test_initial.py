"""A training that starts from an earlier one: what is taken, what is new, and what is said of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fusion import RecipeError, Registry, Run, RunError, train
from fusion.picks import complete
from fusion.transfer.initial import initial_model
from tests.training.toys import close, recipe, weights, write

MEASURED = {"evaluate": {"sources": {"all": {"name": "toy", "view": ["image", "text", "audio"]}}}}


@pytest.fixture(scope="module")
def earlier(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which no row had an image and a sound."""
    return train(recipe(), tmp_path_factory.mktemp("earlier") / "run", registry=registry)


def test_all_is_taken_from_a_run_of_the_same_recipe(earlier: Run, registry: Registry) -> None:
    torch.manual_seed(99)
    model, start = initial_model(complete(recipe({"init": str(earlier.folder)}), registry), registry)
    assert start is not None
    assert set(start.taken) == model.state_dict().keys() == weights(earlier).keys()
    assert (start.new, start.reshaped, start.unused, start.untouched) == ((), {}, (), [])
    assert all(torch.equal(value, weights(earlier)[name]) for name, value in model.state_dict().items())
    assert start.rows == {"image+text": 32, "text+audio": 16}


def test_a_head_of_another_size_is_new_and_it_is_said(
    earlier: Run, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"objectives": {"kind": {"name": "classify", "classes": 4}}, "train.lr": 1e-9, "train.steps": 1}
    made = recipe({"init": str(earlier.folder), "train.weight_decay": 0.0, **changes})
    run = train(made, tmp_path / "run", registry=registry)
    said = capsys.readouterr().err
    assert f"tensors from {earlier.folder}: align.audio 3 of 3, align.image 3 of 3, " in said
    assert "objectives.kind 2 of 4" in said  # the norm before the head
    assert "objectives.kind.head.1.weight is new: (4, 8), there (3, 8)" in said
    assert "1 tensors of it have no place here" in said  # the temperature of `align`
    old, new = weights(earlier), weights(run)
    taken = old.keys() & new.keys() - {"objectives.kind.head.1.weight", "objectives.kind.head.1.bias"}
    assert len(taken) > 15
    assert all(torch.allclose(new[name], old[name], atol=1e-7) for name in taken)
    record = run.manifest["init"]
    assert record["init"] == str(earlier.folder)
    assert record["sha256"] == earlier.manifest["files"]["model.safetensors"]
    assert record["reshaped"]["objectives.kind.head.1.bias"] == "(4,), there (3,)"
    assert (record["taken"], record["new"]) == (len(taken), [])
    assert record["unused"] == ["objectives.align.log_scale"]


def test_a_head_of_other_classes_that_goes_on_is_told(
    earlier: Run, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"init": str(earlier.folder), "classes": ["red", "green", "blue"], "train.steps": 1}
    train(recipe(changes), tmp_path / "run", registry=registry)
    said = capsys.readouterr().err
    assert "warning: init: objectives.kind goes on with what was learned of other classes: not named" in said
    assert "objectives.align" not in said.partition("warning: init")[2]
    train(recipe({"init": str(earlier.folder), "train.steps": 1}), tmp_path / "same", registry=registry)
    assert "other classes" not in capsys.readouterr().err


def test_encoders_are_tuned_after_they_were_given_the_weights(earlier: Run, registry: Registry) -> None:
    made = recipe({"init": str(earlier.folder), "encoders.text.tune": {"mode": "lora"}})
    model, start = initial_model(complete(made, registry), registry)
    assert start is not None
    assert "encoders.text.layer.weight" in start.taken
    base = model.state_dict()["encoders.text.layer.parametrizations.weight.original"]
    assert torch.equal(base, weights(earlier)["encoders.text.layer.weight"])


def test_what_adapters_learned_is_merged_into_the_weights(registry: Registry, tmp_path: Path) -> None:
    tuned = {"encoders.text.tune": {"mode": "lora", "rank": 2, "alpha": 2}, "train.steps": 3}
    run = train(recipe(tuned), tmp_path / "run", registry=registry)
    model, start = initial_model(complete(recipe({"init": str(run.folder)}), registry), registry)
    assert start is not None
    assert (start.new, start.reshaped, start.unused) == ((), {}, ())
    layer = "encoders.text.layer.parametrizations.weight"
    base, down, up = (weights(run)[f"{layer}.{part}"] for part in ("original", "0.down", "0.up"))
    assert up.any()
    torch.testing.assert_close(model.state_dict()["encoders.text.layer.weight"], base + up @ down)


def test_an_encoder_is_built_from_what_the_run_keeps_of_it(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "scale").write_text("3.0")
    scaled = {"encoders.image": {"name": "toy-scaled", "model": str(tmp_path / "scale")}}
    run = train(recipe(scaled | {"train.steps": 1}), tmp_path / "run", registry=registry)
    (tmp_path / "scale").unlink()
    model, _ = initial_model(complete(recipe(scaled | {"init": str(run.folder)}), registry), registry)
    assert model.encoders["image"].scale == 3.0


@pytest.mark.parametrize("tuned", [True, False])
def test_two_processes_start_from_it_as_one_does(
    tuned: bool, earlier: Run, registry: Registry, torchrun: Any, tmp_path: Path
) -> None:
    changes = {f"encoders.{name}.dropout": 0.0 for name in ("image", "text", "audio")}
    changes |= {"init": str(earlier.folder), "fuser.dropout": 0.0, "train.steps": 3}
    changes |= {"encoders.text.tune": {"mode": "lora"}} if tuned else {}
    path = write(recipe(changes), tmp_path / "toy.yaml")
    done = torchrun(2, "-m", "fusion", "train", str(path), "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"tensors from {earlier.folder}") == 1
    close(train(recipe(changes), tmp_path / "one", registry=registry), Run(tmp_path / "two"))


def test_an_encoder_of_which_nothing_is_taken_is_told_and_its_rows_do_not_count(
    earlier: Run, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"encoders.image.dim": 6, "encoders.image.name": "toy-image", "train.steps": 1}
    made = recipe({"init": str(earlier.folder), **other})
    run = train(made, tmp_path / "run", registry=registry)
    said = capsys.readouterr().err
    assert "warning: init: nothing of encoders.image was taken" in said
    assert "encoders.image 0 of 2" in said
    assert "nothing of encoders.text" not in said
    assert run.metrics["init/rows/text"] == 32  # the image and text of these rows, of which text is known
    assert run.metrics["init/rows/text+audio"] == 16
    assert "init/rows/image+text" not in run.metrics


# what never met


def emergent(run: Run) -> dict[str, Any]:
    return {pair: run.metrics[f"retrieval/{pair}/emergent"] for pair in ("image->audio", "image->text")}


def test_a_pair_that_met_in_the_earlier_training_is_not_emergent(
    earlier: Run, registry: Registry, tmp_path: Path
) -> None:
    only = {"sources": {"heard": {"name": "toy", "view": ["text", "audio"]}}, "train.steps": 2}
    alone = train(recipe(MEASURED | only), tmp_path / "alone", registry=registry)
    assert emergent(alone) == {"image->audio": None, "image->text": None}  # no image was in any row
    after = train(
        recipe(MEASURED | only | {"init": str(earlier.folder)}), tmp_path / "after", registry=registry
    )
    assert emergent(after) == {"image->audio": True, "image->text": False}
    assert after.metrics["init/rows/image+text"] == 32
    third = train(
        recipe(MEASURED | only | {"init": str(after.folder)}), tmp_path / "third", registry=registry
    )
    assert third.metrics["init/rows/image+text"] == 32
    assert third.metrics["init/rows/text+audio"] == 16 + 12
    assert emergent(third) == {"image->audio": True, "image->text": False}


def test_what_a_bare_file_was_trained_on_is_unknown(earlier: Run, registry: Registry, tmp_path: Path) -> None:
    file = shutil.copy(earlier.model_file, tmp_path / "weights.safetensors")
    only = {"sources": {"heard": {"name": "toy", "view": ["text", "audio"]}}, "train.steps": 2}
    run = train(recipe(MEASURED | only | {"init": str(file)}), tmp_path / "run", registry=registry)
    assert emergent(run) == {"image->audio": None, "image->text": None}
    assert run.metrics["retrieval/text->audio/emergent"] is False
    again = train(recipe(MEASURED | only | {"init": str(run.folder)}), tmp_path / "again", registry=registry)
    assert emergent(again) == {"image->audio": None, "image->text": None}
    assert again.report.is_file()


# what is refused


def test_what_is_not_there_is_refused(registry: Registry, tmp_path: Path) -> None:
    for init, message in {
        str(tmp_path / "no"): r"init: .*no is not there; give a finished run, or a file of safetensors",
        str(tmp_path): r"is not a run: it has no recipe\.yaml",
    }.items():
        with pytest.raises(RunError, match=message):
            train(recipe({"init": init}), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_not_finished_or_damaged_is_refused(
    earlier: Run, registry: Registry, tmp_path: Path
) -> None:
    copied = tmp_path / "earlier"
    shutil.copytree(earlier.folder, copied)
    made = recipe({"init": str(copied)})
    content = bytearray((copied / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copied / "model.safetensors").write_bytes(content)
    with pytest.raises(RunError, match=r"init: .*model\.safetensors is missing or damaged: its SHA-256"):
        train(made, tmp_path / "run", registry=registry)
    (copied / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"has no metrics\.json: the run is not finished"):
        train(made, tmp_path / "run", registry=registry)


def test_a_file_that_fits_nothing_is_refused(registry: Registry, tmp_path: Path) -> None:
    save_file({"other": torch.zeros(2)}, tmp_path / "other.safetensors")
    made = recipe({"init": str(tmp_path / "other.safetensors")})
    with pytest.raises(RecipeError, match=r"init: no tensor of .*other\.safetensors fits this model"):
        train(made, tmp_path / "run", registry=registry)
    (tmp_path / "torn.safetensors").write_text(json.dumps({"no": "tensors"}))
    with pytest.raises(RunError, match=r"init: cannot read .*torn\.safetensors as safetensors"):
        train(recipe({"init": str(tmp_path / "torn.safetensors")}), tmp_path / "run", registry=registry)
