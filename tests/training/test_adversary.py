"""Training against an attack: exact on two processes and after a resume, and refused where it cannot be."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fusion import Recipe, RecipeError, Registry, Run, load, train
from fusion.build import build_model
from fusion.recipe.text import dump
from fusion.threat.attacker import Attacker
from fusion.threat.harm import Goal, harm
from fusion.training.adversary import adversary
from fusion.training.steps import training_steps

Make = Callable[..., Recipe]
Lines = Callable[[Run], list[dict[str, float]]]
Weights = Callable[[Run], dict[str, Tensor]]

AGAINST = {"name": "pgd", "radius": {"image": 0.3, "audio": 0.2}, "steps": 2, "share": 0.8}
STILL = {
    "train.batch": 4,
    "train.steps": 6,
    "sources.seen.weight": 3,
    "fuser.dropout": 0.0,
    "encoders.image.dropout": 0.0,
    "encoders.text.dropout": 0.0,
    "encoders.audio.dropout": 0.0,
}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def whole(recipe: Make, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = recipe({"train.adversarial": AGAINST})
    return train(made, tmp_path_factory.mktemp("runs") / "whole", registry=registry)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_two_processes_give_the_losses_and_weights_of_one(
    norm: str,
    recipe: Make,
    registry: Registry,
    torchrun: Any,
    tmp_path: Path,
    lines: Lines,
    weights: Weights,
) -> None:
    made = recipe(STILL | {"train.adversarial": AGAINST | {"norm": norm}})
    path = tmp_path / "toy.yaml"
    path.write_text(dump(made.model_dump(mode="json")))
    done = torchrun(2, "-m", "fusion", "train", str(path), "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    one, two = train(made, tmp_path / "one", registry=registry), Run(tmp_path / "two")
    for alone, together in zip(lines(one), lines(two), strict=True):
        for key, value in alone.items():
            assert together[key] == pytest.approx(value, abs=1e-5, rel=1e-5), key
    theirs = weights(two)
    for name, value in weights(one).items():
        if name.endswith("in_proj_bias"):  # no key's bias has a gradient, and Adam makes its rounding large
            value[8:16] = theirs[name][8:16] = 0.0
        torch.testing.assert_close(theirs[name], value, atol=1e-5, rtol=0)


def test_a_training_that_was_stopped_ends_with_the_same_bits(
    whole: Run,
    recipe: Make,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: Lines,
    weights: Weights,
) -> None:
    made, out = recipe({"train.adversarial": AGAINST}), tmp_path / "run"
    monkeypatch.setenv("TOY_SIGNAL", f"{int(signal.SIGINT)}@4")
    with pytest.raises(KeyboardInterrupt, match="stopped after step 5"):
        train(made, out, registry=registry)
    monkeypatch.delenv("TOY_SIGNAL")
    resumed = train(made, out, resume=True, registry=registry)
    assert lines(resumed) == lines(whole)
    assert same(weights(resumed), weights(whole))


def test_a_radius_of_zero_is_the_training_without_it_bit_for_bit(
    whole: Run, recipe: Make, registry: Registry, tmp_path: Path, lines: Lines, weights: Weights
) -> None:
    plain = train(recipe(), tmp_path / "plain", registry=registry)
    none = recipe({"train.adversarial": AGAINST | {"radius": {"image": 0.0}}})
    still = train(none, tmp_path / "still", registry=registry)
    assert lines(still) == lines(plain)
    assert same(weights(still), weights(plain))
    assert not same(weights(whole), weights(plain))


def test_micro_batches_are_attacked_as_the_batch_is(
    recipe: Make, registry: Registry, tmp_path: Path, lines: Lines
) -> None:
    changes = STILL | {"train.adversarial": AGAINST, "train.batch": 6}
    one = train(recipe(changes), tmp_path / "one", registry=registry)
    cut = train(recipe(changes | {"train.micro_batch": 2}), tmp_path / "cut", registry=registry)
    for whole, parts in zip(lines(one), lines(cut), strict=True):
        assert parts["loss"] == pytest.approx(whole["loss"], abs=1e-5)


def test_what_is_trained_against_harms_less(recipe: Make, registry: Registry, tmp_path: Path) -> None:
    """The loss of attacked rows, after 120 steps with and without: lower, and by more than the noise."""
    many = STILL | {
        "train.steps": 120,
        "train.batch": 12,
        "augment": {},
        "sources": {"all": {"name": "toy", "rows": 48}},
        "objectives": {"kind": {"name": "classify", "classes": 3}},
    }
    against = {"radius": {"image": 1.0, "text": 1.0, "audio": 1.0}, "steps": 3}
    harms = []
    for name, changes in (("plain", {}), ("robust", {"train.adversarial": against})):
        run = train(recipe(many | changes), tmp_path / name, registry=registry)
        model = load(run, "cpu", registry).model
        attacker = adversary(recipe(many | {"train.adversarial": against}), model, registry)
        batch = training_steps(recipe(many), model, registry)[500].batch
        harms.append(harm(model, attacker(batch, 0), Goal({"kind": 1.0})).mean())
    assert harms[1] < 0.8 * harms[0]


def test_without_a_task_pairs_are_pushed_apart(recipe: Make, registry: Registry) -> None:
    objectives = {"align": {"name": "contrastive", "hub": "text"}}
    made = recipe(STILL | {"objectives": objectives, "train.adversarial": AGAINST | {"share": 1.0}})
    model = build_model(made, registry)
    attacker = adversary(made, model, registry)
    assert isinstance(attacker, Attacker)
    assert attacker.goal == Goal({}, [("image", "text"), ("image", "audio"), ("text", "audio")])
    batch = training_steps(made, model, registry)[0].batch
    before, after = (harm(model.eval(), one, attacker.goal) for one in (batch, attacker(batch, 0)))
    assert (after > before).all()


def test_tasks_are_attacked_by_the_weights_of_their_losses(recipe: Make, registry: Registry) -> None:
    objectives = {
        "kind": {"name": "classify", "classes": 3, "weight": 0.5},
        "value": {"name": "regress", "target": "value", "weight": 0.0},
        "align": {"name": "contrastive", "hub": "text"},
    }
    made = recipe({"objectives": objectives, "train.adversarial": AGAINST})
    attacker = adversary(made, build_model(made, registry), registry)
    assert isinstance(attacker, Attacker)
    assert attacker.goal == Goal({"kind": 0.5})


def test_a_frozen_encoder_is_attacked_and_not_cached(
    recipe: Make, registry: Registry, tmp_path: Path
) -> None:
    frozen = {"name": "toy-image", "tune": {"mode": "frozen"}}
    changes = {"encoders.image": frozen, "augment": {}, "train.adversarial": AGAINST, "train.steps": 2}
    run = train(recipe(changes), tmp_path / "run", registry=registry)
    assert "image" not in run.manifest.get("cache", {})
    changes["encoders.image"] = frozen | {"cache": True}
    with pytest.raises(
        RecipeError, match=r"encoders\.image\.cache: train.adversarial moves the samples of image"
    ):
        train(recipe(changes), tmp_path / "other", registry=registry)


REFUSED = {
    "unknown": (
        {"radius": {"imge": 0.1}},
        {},
        "train.adversarial.radius.imge: unknown modality 'imge'; did you mean 'image'?",
    ),
    "unattackable": (
        {"radius": {"text": 0.1}},
        {"encoders.text": {"name": "toy-letters"}},
        "train.adversarial.radius.text: text cannot be attacked: .* those that can: image, audio",
    ),
    "nothing": (
        {"radius": {"image": 0.1}},
        {
            "sources": {"seen": {"name": "toy", "view": ["image"]}},
            "encoders": {"image": {"name": "toy-image"}},
            "augment": {},
            "objectives": {"still": {"name": "toy-still"}},
        },
        "train.adversarial: there is no task to answer wrongly, and no two modalities to part",
    ),
    "no radius": ({}, {}, "train.adversarial.radius: is missing"),
    "below zero": ({"radius": {"image": -1}}, {}, "train.adversarial.radius.image: -1: input should be"),
    "option": (
        {"radius": {"image": 0.1}, "stps": 3},
        {},
        "train.adversarial.stps: unknown option of pgd 'stps'; did you mean 'steps'?",
    ),
    "attack": ({"radius": {"image": 0.1}, "name": "pdg"}, {}, "unknown attack 'pdg'; did you mean 'pgd'?"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_said_before_a_run_is_made(
    case: str, recipe: Make, registry: Registry, tmp_path: Path
) -> None:
    against, changes, message = REFUSED[case]
    with pytest.raises(RecipeError, match=message):
        train(recipe(changes | {"train.adversarial": against}), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()
