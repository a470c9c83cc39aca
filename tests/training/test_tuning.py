"""Encoders that learn in different ways: on two processes, after a stop, and loaded again."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fusion import RecipeError, Registry, Run, load, read_recipe, train
from fusion.build import build_model
from fusion.picks import complete
from tests.training.toys import close, interrupted, lines, recipe, same, weights, write

TUNED = {
    "train.steps": 6,
    "train.batch": 4,
    "sources.seen.weight": 3,  # a sound comes once in four rows, so one of two ranks has none
    "fuser.dropout": 0.0,
    "encoders.image": {
        "name": "toy-image",
        "dropout": 0.0,
        "tune": {"mode": "gradual", "start": 2, "end": 4},
    },
    "encoders.text": {"name": "toy-text", "dropout": 0.0, "tune": {"mode": "lora", "rank": 2}},
    "encoders.audio": {"name": "toy-audio", "dropout": 0.0, "tune": {"mode": "full", "lr_scale": 0.5}},
}


@pytest.fixture(scope="module")
def whole(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe(TUNED), tmp_path_factory.mktemp("tuned") / "run", registry=registry)


def test_two_processes_give_the_losses_and_weights_of_one(whole: Run, torchrun: Any, tmp_path: Path) -> None:
    path = write(recipe(TUNED), tmp_path / "toy.yaml")
    done = torchrun(2, "-m", "fusion", "train", str(path), "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    two = Run(tmp_path / "run")
    close(whole, two)


@pytest.mark.parametrize("step", [1, 3])  # before and after the first layer is unfrozen
def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    step: int, whole: Run, registry: Registry, tmp_path: Path
) -> None:
    resumed = interrupted(recipe(TUNED), tmp_path / "run", step, registry)
    assert lines(resumed) == lines(whole)
    assert same(weights(whole), weights(resumed))


def test_layers_learn_from_their_step_on_and_adapters_alone(
    whole: Run, registry: Registry, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    before = build_model(complete(recipe(TUNED), registry), registry).state_dict()
    early = train(recipe(TUNED | {"train.steps": 2}), tmp_path / "run", registry=registry)
    assert torch.equal(weights(early)["encoders.image.layer.weight"], before["encoders.image.layer.weight"])
    after = weights(whole)
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert {name for name in changed if name.startswith("encoders.")} == {
        "encoders.image.layer.weight",
        "encoders.image.layer.bias",
        "encoders.text.layer.parametrizations.weight.0.down",
        "encoders.text.layer.parametrizations.weight.0.up",
        "encoders.audio.layer.weight",
        "encoders.audio.layer.bias",
    }


def test_a_tuned_run_is_loaded_with_its_adapters(whole: Run, registry: Registry) -> None:
    model = load(whole, registry=registry, device="cpu")
    row = [1.0, 0.5, -0.5, 2.0]
    kept = {name.removeprefix("encoders.text.layer."): value for name, value in weights(whole).items()}
    base, down, up = (kept[f"parametrizations.weight.{part}"] for part in ("original", "0.down", "0.up"))
    hidden = torch.tanh(torch.tensor(row) @ (base + 8.0 * up @ down).T + kept["bias"])
    norm, project = (weights(whole)[f"align.text.{part}.weight"] for part in ("norm", "project"))
    bias = weights(whole)["align.text.norm.bias"]
    aligned = torch.nn.functional.layer_norm(hidden, (4,), norm, bias) @ project.T
    expected = aligned / aligned.norm()
    torch.testing.assert_close(model.encode({"text": row}).vectors["text"][0], expected)


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ("lora", r"encoders\.audio\.tune: 'lora' has no keys; write it as \{mode: lora\}"),
        ("", r"encoders\.audio\.tune: is empty; write it as \{mode: MODE\}, or leave 'tune' out"),
        ("[lora]", r"encoders\.audio\.tune: \['lora'\] has no keys; write it as \{mode: MODE\}"),
        ("{mode: lorra}", r"encoders\.audio\.tune\.mode: unknown tuning 'lorra'; did you mean 'lora'\?"),
        ("{mode: lora, rnk: 4}", r"tune\.rnk: unknown option of lora 'rnk'; did you mean 'rank'\?"),
        ("{mode: lora, rank: 0}", r"encoders\.audio\.tune\.rank: 0 does not fit \(rank: int = 8\)"),
        (
            "{rank: 4}",
            r"encoders\.audio\.tune\.rank: unknown option of full 'rank'; known: align, layer_decay, lr_",
        ),
        ("{mode: gradual, start: 0.5, end: 0.1}", r"audio\.tune: gradual: start \(0\.5\) is after end"),
        (
            "{mode: lora, targets: [LSTM]}",
            r"tune: lora: the encoder has no matrix in modules of targets LSTM",
        ),
        ("{mode: lora, targets: []}", r"audio\.tune\.targets: \[\] does not fit"),
        ("{lr_scale: 0}", r"encoders\.audio\.tune\.lr_scale: 0: input should be greater than 0"),
    ],
)
def test_what_is_wrong_with_a_tuning_is_told_with_its_path(
    tune: str, message: str, registry: Registry
) -> None:
    with pytest.raises(RecipeError, match=message):
        build_model(read_recipe("bind_digits", [f"encoders.audio.tune={tune}"], registry), registry)


def test_a_part_of_the_model_is_an_encoder_and_not_how_it_is_tuned(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = recipe(TUNED | {"train.steps": 4, "train.batch": 8})
    assert build_model(complete(made, registry), registry).origins.keys() == {
        *(f"encoders.{name}" for name in ("image", "text", "audio")),
        "fuser",
        "objectives.align",
        "objectives.kind",
    }
    train(made, tmp_path / "run", registry=registry)
    assert "warning" not in capsys.readouterr().err


def test_an_encoder_that_never_learns_is_told(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = {"mode": "gradual", "start": 10, "end": 20}
    changes = {"encoders.image.tune": late, "encoders.text.tune": {"mode": "frozen"}, "train.steps": 3}
    train(recipe(changes), tmp_path / "run", registry=registry)
    said = capsys.readouterr().err
    assert "warning: encoders.image.tune: nothing of it learns within 3 steps" in said
    assert said.count("nothing of it learns") == 1
