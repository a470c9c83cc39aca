"""A batch under attack: the same for a row in any batch, and the model is what it was."""

from functools import partial
from typing import Any

import pytest
import torch

from fusion import Model, Registry
from fusion.attack import Norm
from fusion.build import build_attack
from fusion.recipe.picks import AttackPick
from fusion.threat.attacker import Attacker
from fusion.threat.harm import Goal, harm
from tests.threat.conftest import MEAN, STD, batch_of

Rows = list[dict[str, Any]]
EVERY = range(5)
TASK = Goal({"kind": 1.0})
STRONG = build_attack(AttackPick(name="apgd", steps=10), "attack", Registry())
RADIUS = {"scan": 0.2, "wave": 0.3}


def attacker(model: Model, norm: Norm = "linf", radius: dict[str, float] = RADIUS, **rest: Any) -> Attacker:
    return Attacker(model, STRONG, TASK, radius, norm, seed=0, **rest)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_rows_do_worse_and_samples_stay_in_ball_and_range(norm: Norm, model: Model, rows: Rows) -> None:
    batch = batch_of(model, rows, EVERY)
    moved = attacker(model, norm)(batch)
    before, after = harm(model, batch, TASK), harm(model, moved, TASK)
    assert (after > before).tolist() == [True, True, True, False, True]  # row 3 has no label
    scans, was = (
        (one.inputs["scan"]["x"] * torch.tensor(STD)[:, None] + torch.tensor(MEAN)[:, None])
        for one in (moved, batch)
    )
    assert scans.min() >= -1e-6
    assert scans.max() <= 1 + 1e-6
    shift = (scans - was).flatten(1)
    length = shift.abs().amax(1) if norm == "linf" else shift.norm(dim=1)
    assert (length <= 0.2 + 1e-5).all()
    assert length[0] > 0.05
    assert length[2] == 0
    assert torch.equal(moved.inputs["word"]["x"], batch.inputs["word"]["x"])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_row_is_attacked_alike_in_any_batch(norm: Norm, model: Model, rows: Rows) -> None:
    together = attacker(model, norm)(batch_of(model, rows, EVERY))
    apart = [attacker(model, norm)(batch_of(model, rows, places)) for places in ([4, 0], [3, 1, 2])]
    waves = together.inputs["wave"]["x"]  # of rows 0, 1, 3, 4
    torch.testing.assert_close(apart[0].inputs["wave"]["x"], waves[[3, 0]], atol=1e-6, rtol=0)
    torch.testing.assert_close(apart[1].inputs["wave"]["x"], waves[[2, 1]], atol=1e-6, rtol=0)


def test_micro_batches_are_attacked_like_the_batch(model: Model, rows: Rows) -> None:
    whole = batch_of(model, rows, EVERY)
    parts = whole._replace(inputs={}, parts=[batch_of(model, rows, [0, 1, 2]), batch_of(model, rows, [3, 4])])
    moved = attacker(model)(parts)
    waves = torch.cat(
        [torch.nn.functional.pad(part.inputs["wave"]["x"], (0, 5))[:, :5] for part in moved.parts]
    )
    torch.testing.assert_close(waves, attacker(model)(whole).inputs["wave"]["x"], atol=1e-6, rtol=0)
    assert torch.equal(moved.present["scan"], whole.present["scan"])


def test_a_radius_of_zero_and_no_steps_leave_every_bit(model: Model, rows: Rows) -> None:
    batch = batch_of(model, rows, EVERY)
    none = build_attack(AttackPick(name="pgd", steps=0), "attack", Registry())
    for still in (
        attacker(model, radius={"scan": 0.0, "wave": 0.0}),
        Attacker(model, none, TASK, RADIUS, "l2", 0),
    ):
        moved = still(batch)
        for name in ("scan", "wave"):
            assert torch.equal(moved.inputs[name]["x"], batch.inputs[name]["x"])


def test_the_model_and_its_gradients_and_the_generator_stay(model: Model, rows: Rows) -> None:
    model.train()
    batch = batch_of(model, rows, EVERY)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = torch.random.get_rng_state()
    attacker(model)(batch)
    assert model.training
    assert model.encoders["scan"].dropout.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_step_and_the_seed_decide_where_an_attack_begins(model: Model, rows: Rows) -> None:
    batch = batch_of(model, rows, EVERY)
    one = build_attack(AttackPick(name="pgd", steps=1, size=1e-6), "attack", Registry())
    make = partial(Attacker, model, one, TASK, {"wave": 0.3}, "linf")
    found = [make(seed)(batch, step).inputs["wave"]["x"] for seed, step in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert torch.equal(found[0], found[3])
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_share_of_the_rows_is_attacked(model: Model, rows: Rows) -> None:
    many = rows[1:2] * 400
    batch = batch_of(model, many, range(400))
    one = build_attack(AttackPick(name="pgd", steps=1), "attack", Registry())
    moved = Attacker(model, one, TASK, {"wave": 0.3}, "linf", 0, share=0.25)(batch)
    share = (moved.inputs["wave"]["x"] != batch.inputs["wave"]["x"]).any(1).float().mean()
    assert abs(share - 0.25) < 5 * (0.25 * 0.75 / 400) ** 0.5
