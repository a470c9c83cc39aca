"""Training against an attack: exact on two processes and after a resume, and refused where it cannot be."""

from pathlib import Path
from typing import Any

import pytest

from fusion import RecipeError, Registry, Run, load, train
from fusion.build import build_model
from fusion.threat.attacker import Attacker
from fusion.threat.harm import Goal, harm
from fusion.training.adversary import adversary
from fusion.training.steps import training_steps
from tests.training.toys import ALIKE, close, interrupted, lines, recipe, same, weights, write

AGAINST = {"name": "pgd", "radius": {"image": 0.3, "audio": 0.2}, "steps": 2, "share": 0.8}


@pytest.fixture(scope="module")
def whole(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = recipe({"train.adversarial": AGAINST})
    return train(made, tmp_path_factory.mktemp("runs") / "whole", registry=registry)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_two_processes_give_the_losses_and_weights_of_one(
    norm: str, registry: Registry, torchrun: Any, tmp_path: Path
) -> None:
    made = recipe(ALIKE | {"train.adversarial": AGAINST | {"norm": norm}})
    path = write(made, tmp_path / "toy.yaml")
    done = torchrun(2, "-m", "fusion", "train", str(path), "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    one, two = train(made, tmp_path / "one", registry=registry), Run(tmp_path / "two")
    close(one, two)


def test_a_training_that_was_stopped_ends_with_the_same_bits(
    whole: Run, registry: Registry, tmp_path: Path
) -> None:
    made, out = recipe({"train.adversarial": AGAINST}), tmp_path / "run"
    resumed = interrupted(made, out, 4, registry)
    assert lines(resumed) == lines(whole)
    assert same(weights(resumed), weights(whole))


def test_a_radius_of_zero_is_the_training_without_it_bit_for_bit(
    whole: Run, registry: Registry, tmp_path: Path
) -> None:
    plain = train(recipe(), tmp_path / "plain", registry=registry)
    none = recipe({"train.adversarial": AGAINST | {"radius": {"image": 0.0}}})
    still = train(none, tmp_path / "still", registry=registry)
    assert lines(still) == lines(plain)
    assert same(weights(still), weights(plain))
    assert not same(weights(whole), weights(plain))


def test_micro_batches_are_attacked_as_the_batch_is(registry: Registry, tmp_path: Path) -> None:
    changes = ALIKE | {"train.adversarial": AGAINST, "train.batch": 6}
    one = train(recipe(changes), tmp_path / "one", registry=registry)
    cut = train(recipe(changes | {"train.micro_batch": 2}), tmp_path / "cut", registry=registry)
    for whole, parts in zip(lines(one), lines(cut), strict=True):
        assert parts["loss"] == pytest.approx(whole["loss"], abs=1e-5)


def test_what_is_trained_against_harms_less(registry: Registry, tmp_path: Path) -> None:
    """The loss of attacked rows, after 120 steps with and without: lower, and by more than the noise."""
    many = ALIKE | {
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


def test_without_a_task_pairs_are_pushed_apart(registry: Registry) -> None:
    objectives = {"align": {"name": "contrastive", "hub": "text"}}
    made = recipe(ALIKE | {"objectives": objectives, "train.adversarial": AGAINST | {"share": 1.0}})
    model = build_model(made, registry)
    attacker = adversary(made, model, registry)
    assert isinstance(attacker, Attacker)
    assert attacker.goal == Goal({}, [("image", "text"), ("image", "audio"), ("text", "audio")])
    batch = training_steps(made, model, registry)[0].batch
    before, after = (harm(model.eval(), one, attacker.goal) for one in (batch, attacker(batch, 0)))
    assert (after > before).all()


def test_tasks_are_attacked_by_the_weights_of_their_losses(registry: Registry) -> None:
    objectives = {
        "kind": {"name": "classify", "classes": 3, "weight": 0.5},
        "value": {"name": "regress", "target": "value", "weight": 0.0},
        "align": {"name": "contrastive", "hub": "text"},
    }
    made = recipe({"objectives": objectives, "train.adversarial": AGAINST})
    attacker = adversary(made, build_model(made, registry), registry)
    assert isinstance(attacker, Attacker)
    assert attacker.goal == Goal({"kind": 0.5})


def test_a_frozen_encoder_is_attacked_and_not_cached(registry: Registry, tmp_path: Path) -> None:
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
def test_what_cannot_be_is_said_before_a_run_is_made(case: str, registry: Registry, tmp_path: Path) -> None:
    against, changes, message = REFUSED[case]
    with pytest.raises(RecipeError, match=message):
        train(recipe(changes | {"train.adversarial": against}), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()
