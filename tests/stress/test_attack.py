"""Attacks as a stress: every number is that under the attack after it, and nothing moves at radius 0."""

from types import ModuleType
from typing import Any

import pytest
import torch

from fusion import Component, Delta, Harm, Recipe, Region, RunError, hookimpl
from fusion.build import build_attack, build_tables
from fusion.data.collate import Collator
from fusion.data.loader import Reader, Sweep
from fusion.evaluation.retrieval import retrieval
from fusion.evaluation.sweep import collect
from fusion.report.stress import Point, Record
from fusion.stress.attack import APART, Attacks
from fusion.threat.attacker import Attacker
from fusion.threat.harm import Goal
from tests.evaluation import toys
from tests.stress.toys import attackable, measured, registry

ATTACK = {"name": "apgd", "steps": 4}
RADIUS = 0.4


def recipe(**evaluate: Any) -> Recipe:
    return toys.recipe(registry(), **{"attack": ATTACK, **evaluate})


def attacked(
    made: Recipe, *, kinds: tuple[str, ...] = (), severities: tuple[float, ...] = (RADIUS,)
) -> Record:
    stress = Attacks(made, registry(), kinds=kinds, severities=severities)
    return measured(made, stress=stress, model=attackable(made))


def points(record: Record) -> dict[tuple[str, float], Point]:
    return {(point.damaged, point.severity): point for point in record.points}


@pytest.fixture(scope="module")
def record() -> Record:
    return attacked(recipe(batch=5), severities=(0.0, RADIUS))


def test_it_attacks_each_that_can_be_and_all_of_them_together(record: Record) -> None:
    assert list(points(record)) == [
        (damaged, radius) for damaged in ("sight", "sound", "sight+sound") for radius in (0.0, RADIUS)
    ]
    assert {point.kind for point in record.points} == {"apgd"}
    assert (record.axis, record.mean_error) == ("radius", "mean error")
    assert record.told["spared"] == ["text"]
    assert record.told["attack"] == {"name": "apgd", "norm": "linf", "loss": "loss", "steps": 4}


def test_a_radius_of_zero_is_the_evaluation_to_the_bit(record: Record) -> None:
    for damaged in ("sight", "sound", "sight+sound"):
        point = points(record)[damaged, 0.0]
        assert len(point.metrics) > 10
        assert {key: record.clean[key] for key in point.metrics} == point.metrics
        assert {subset: record.versus[damaged][subset] for subset in point.versus} == point.versus


@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_without_steps_it_is_the_evaluation_to_the_bit(name: str) -> None:
    found = attacked(recipe(attack={"name": name, "steps": 0}))
    for point in found.points:
        assert len(point.metrics) > 10
        assert {key: found.clean[key] for key in point.metrics} == point.metrics


def test_attacks_do_harm_to_what_they_are_after(record: Record) -> None:
    alone, both = points(record)["sight", RADIUS].metrics, points(record)["sight+sound", RADIUS].metrics
    assert alone["subsets/sight/accuracy"] < record.clean["subsets/sight/accuracy"]
    assert alone["retrieval/sight->text/hit@1"] < record.clean["retrieval/sight->text/hit@1"]
    assert both["subsets/sight+sound/accuracy"] < record.clean["subsets/sight+sound/accuracy"]
    kept = [key for key in alone if key.startswith("subsets/") and key.endswith("/accuracy")]
    assert kept == [f"subsets/{given}/accuracy" for given in ("sight", "sight+sound", "sight+sound+text")]


def test_nothing_is_measured_that_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    searched, answered = [], []

    def counting(queries: Any, gallery: Any, crew: Any) -> dict[str, float]:
        searched.append((queries, gallery))
        return retrieval(queries, gallery, crew)

    def answering(model: Any, batch: Any, subsets: Any) -> Any:
        answered.append(["+".join(subset) for subset in subsets])
        return collect(model, batch, subsets)

    monkeypatch.setattr("fusion.evaluation.evaluate.retrieval", counting)
    monkeypatch.setattr("fusion.stress.endure.collect", answering)
    found = attacked(recipe(batch=100))
    kept = [key for point in found.points for key in point.metrics if key.endswith("->text/gallery")]
    assert kept == [f"retrieval/{one}->text/gallery" for one in ("sight", "sound", "sight", "sound")]
    assert len(searched) == 6 + 4 + 4 + 6  # without damage; of sight; of sound; of either
    both = "sight+sound"
    others = [[both], ["sight+sound+text"], []]
    assert answered[1:] == [["sight"], *others, ["sound"], *others, *others]
    answered.clear()
    chosen = attacked(recipe(batch=100), kinds=(both,))
    assert answered[1:] == [["sight", both], ["sound", both], [both]]  # `alone` is told
    assert {key.split("/")[1] for point in chosen.points for key in point.metrics} == {both}
    assert chosen.versus["sight"].keys() == chosen.points[0].versus.keys() == {both}


@pytest.mark.parametrize("given", ["sight", "sight+sound", "sight+sound+text"])
def test_a_number_is_that_of_the_attack_with_the_same_given(given: str, record: Record) -> None:
    """Attacked and counted by hand, all rows in one batch."""
    made = recipe()
    model = attackable(made)
    sources = build_tables(made.evaluate.sources, registry())
    batch = Sweep(Reader(sources, Collator(model.processors, model.targets())), 100)[0].batch
    asked = given.split("+")
    shown = {name: here & (name in asked) for name, here in batch.present.items()}
    attack = build_attack(made.evaluate.attack, "evaluate.attack", registry())
    attacker = Attacker(model, attack, Goal({"colour": 1.0}), {"sight": RADIUS}, "linf", made.train.seed)
    moved = attacker(batch._replace(shown=shown))
    with torch.no_grad():
        answer = model.tasks["colour"].predict(model.fuse(model.embed(moved), shown)).value
    label = batch.targets["label"]
    counted = torch.stack([batch.present[name] for name in asked]).all(0) & (label != -100)
    right = (answer == label)[counted].float().mean().item()
    found = points(record)["sight", RADIUS]
    assert found.metrics[f"subsets/{given}/accuracy"] == pytest.approx(right)
    assert found.metrics[f"subsets/{given}/rows"] == counted.sum()
    if given != "sight":
        assert found.versus[given].fused["accuracy"] == pytest.approx(right)


def test_the_size_of_batches_changes_no_number(record: Record) -> None:
    other = attacked(recipe(batch=100), severities=(0.0, RADIUS))
    for one, same in zip(record.points, other.points, strict=True):
        assert one.metrics == pytest.approx(same.metrics)


def test_kinds_and_severities_choose(record: Record) -> None:
    found = attacked(recipe(), kinds=("sight+text", APART), severities=(RADIUS,))
    sight = points(found)["sight", RADIUS].metrics
    assert {key.split("/")[0] for key in sight} == {"subsets", "retrieval"}
    assert {key.split("/")[1] for key in sight if key.startswith("subsets/")} == {"sight+text"}
    assert list(found.versus["sight"]) == ["sight+text"]
    sound = points(found)["sound", RADIUS].metrics
    assert {key.split("/")[0] for key in sound} == {"retrieval"}


def test_the_radii_that_nobody_chose_depend_on_the_norm() -> None:
    wide = {**ATTACK, "norm": "l2"}
    assert list(Attacks(recipe(), registry(), kinds=(), severities=()).radii) == [0.01, 0.03, 0.1]
    assert list(Attacks(recipe(attack=wide), registry(), kinds=(), severities=()).radii) == [0.3, 1.0, 3.0]


def test_what_cannot_be_attacked_is_refused_in_words() -> None:
    made = recipe()
    with pytest.raises(RunError, match="none of sight, sound, text can be attacked: no processor names"):
        measured(made, stress=Attacks(made, registry(), kinds=(), severities=()))
    with pytest.raises(RunError, match=r"unknown attack of this run 'sigt'; did you mean 'sight'\?"):
        attacked(made, kinds=("sigt",))
    mute = toys.recipe(registry(), objectives={"align": {"name": "contrastive"}}, retrieval=[])
    with pytest.raises(RunError, match="there is nothing to attack: no task that answers"):
        attacked(mute)
    with pytest.raises(RunError, match="severity -1: a radius is not below 0"):
        attacked(made, severities=(-1.0,))


def upwards(harm: Harm, region: Region, *, far: float = 1.0) -> Delta:
    """Go to the upper end of what is allowed, whatever that does."""
    top = {key: block.high for key, block in region.blocks.items()}
    return {key: far * part for key, part in region.project(top).items()}


def test_an_attack_of_a_stranger_is_one_function() -> None:
    @hookimpl
    def fusion_attacks() -> list[Component]:
        return [Component("upwards", upwards)]

    plugin = ModuleType("stranger")
    plugin.fusion_attacks = fusion_attacks  # type: ignore[attr-defined]
    offers = registry()
    offers.add("stranger", plugin)
    made = toys.recipe(offers, attack={"name": "upwards", "far": 0.5})
    stress = Attacks(made, offers, kinds=["sight"], severities=[0.2])
    model = attackable(made)
    sources = build_tables(made.evaluate.sources, offers)
    batch = Sweep(Reader(sources, Collator(model.processors, model.targets())), 100)[0].batch
    stress.meet(model)
    [trial] = [trial for trial in stress.trials if trial.damaged == "sight"]
    with torch.no_grad():
        spoilt = stress.spoil(model.eval(), batch, trial).inputs["sight"]["x"]
    known = (batch.targets["label"] != -100)[batch.present["sight"]]
    moved = spoilt - batch.inputs["sight"]["x"]
    room = 1 - batch.inputs["sight"]["x"]
    torch.testing.assert_close(moved[known], 0.5 * room.clamp(max=0.2)[known])
    assert not moved[~known].any()
