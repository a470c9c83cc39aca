"""A step that is not finite: nothing of it stays, it is counted, and ten in a row end the training."""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fusion import Component, Embeddings, Objective, Registry, Run, TrainingError, hookimpl, train
from fusion.batch import Batch
from fusion.data.order import Order
from fusion.training import checkpoint
from fusion.training.guard import Guard, step_where
from fusion.training.launch import launch
from fusion.training.optimizer import learning_rate
from fusion.training.skips import Clues, Skips, blame, mark, suspects, told
from tests.training.toys import interrupted, lines, recipe, same, weights

# one sound in a batch of three, or none; those of rows 3 and 8 are infinite, and come in steps 2 and 6
SOME = {
    "sources.heard.weight": 0.2,
    "sources.heard.infinite": [3, 8],
    "train.batch": 3,
    "train.checkpoint_every": 1,
    "train.keep": 8,
    "encoders.audio": {"name": "toy-normed"},
    "objectives.kind": {"name": "groupdro", "classes": 3, "rate": 0.5},
}
ALL = {"sources.heard.infinite": list(range(17)), "train.steps": 14, "train.log_every": 4}


class Boundless(Objective):
    """An infinite loss with a gradient that is finite."""

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return fused.square().mean() + math.inf


@hookimpl
def fusion_objectives() -> list[Component]:
    return [Component("boundless", Boundless)]


@pytest.fixture(scope="module")
def whole(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe(SOME), tmp_path_factory.mktemp("runs") / "whole", registry=registry)


def test_a_step_that_is_left_out_is_marked_with_its_rows(whole: Run) -> None:
    order = Order({"seen": 24, "heard": 17}, {"seen": 2, "heard": 0.2}, 3, seed=0)
    expected = {
        step: sorted(row for row in slots.row[slots.source == 1].tolist() if row in (3, 8))
        for step, slots in ((step, order(step - 1)) for step in range(1, 9))
    }
    assert [step for step, rows in expected.items() if rows] == [2, 6]
    for line in lines(whole):
        rows = expected[line["step"]]
        if rows:
            assert line["skipped"] == "audio holds NaN or infinity"
            assert line["rows"] == {"heard": rows}
            assert math.isnan(line["loss"])
        else:
            assert "skipped" not in line
            assert "rows" not in line
    assert whole.metrics["train/skipped_steps"] == 2
    assert whole.metrics["train/steps"] == 8


def test_nothing_of_it_stays_in_weights_statistics_and_optimiser(whole: Run) -> None:
    kept = {step: checkpoint.load(checkpoint.place(whole.checkpoints, step)) for step in range(1, 9)}
    state = {step: {**found.model, **found.optimizer} for step, found in kept.items()}
    assert {"encoders.audio.norm.running_var", "objectives.kind.next"} <= state[1].keys()
    for step in range(2, 9):
        before, after = state[step - 1], state[step]
        moved = [name for name in after if name not in before or not torch.equal(after[name], before[name])]
        moved = [name for name in moved if name != "objectives.kind.weights"]  # of start_step
        assert bool(moved) is (step not in (2, 6))
        assert all(tensor.isfinite().all() for tensor in after.values())
    assert kept[8].optimizer["encoders.text.layer.weight/step"] == 6


def test_the_rate_goes_on_as_if_it_had_been_taken(whole: Run) -> None:
    rates = [learning_rate(step, recipe(SOME).train) for step in range(8)]
    assert [line["lr"] for line in lines(whole)] == rates


def test_a_training_with_such_steps_is_resumed_to_the_bit(
    whole: Run, registry: Registry, tmp_path: Path
) -> None:
    resumed = interrupted(recipe(SOME), tmp_path / "run", 3, registry)
    assert same(weights(resumed), weights(whole))
    assert repr(lines(resumed)) == repr(lines(whole))  # NaN is not equal to itself
    assert resumed.metrics["train/skipped_steps"] == 2


def test_ten_in_a_row_end_a_training_and_rows_are_named_also_after_a_resume(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = recipe(ALL | {"train.checkpoint_every": 8})
    words = (
        r"^10 steps in a row, 1 to 10, were left out: audio holds NaN or infinity: row 0 of 'heard', "
        r"row 1 of 'heard', row 2 of 'heard', row 3 of 'heard', row 4 of 'heard' and 12 more; all rows are "
        r"in .*run/metrics\.jsonl, earlier checkpoints, if any, in .*run/checkpoints$"
    )
    with pytest.raises(TrainingError, match=words):
        train(made, tmp_path / "run", registry=registry)
    found = lines(Run(tmp_path / "run"))
    assert [line["step"] for line in found if "skipped" in line] == list(range(1, 13))
    assert {row for line in found for row in line["rows"]["heard"]} == set(range(17))
    assert "warning: step 8 is left out: audio holds NaN or infinity: row " in capsys.readouterr().err
    with pytest.raises(TrainingError, match=words):  # from step 8
        train(made, tmp_path / "run", resume=True, registry=registry)


def test_a_gradient_alone_that_is_not_finite_is_told_with_the_losses(
    registry: Registry, tmp_path: Path
) -> None:
    changes = {"sources.heard.infinite": [], "sources.heard.spiked": [3, 8], "train.steps": 2}
    made = recipe(SOME | changes | {"encoders.audio": {"name": "toy-brittle"}})
    found = lines(train(made, tmp_path / "run", registry=registry))
    assert "skipped" not in found[0]
    first, _, last = found[1]["skipped"].partition(" (")
    assert first == "the gradient became nan"
    assert last == (
        f"align {found[1]['loss/align']}, kind {found[1]['loss/kind']}); lower train.lr or train.clip"
    )
    assert math.isfinite(found[1]["loss"])
    assert found[1]["rows"] == {}


def test_an_infinite_loss_trains_nothing_though_its_gradient_is_finite(toy: Any, tmp_path: Path) -> None:
    registry = Registry(plugins={"toy": toy, "own": sys.modules[__name__]})
    objectives = {"align": {"name": "contrastive"}, "far": {"name": "boundless"}}
    made = recipe({"objectives": objectives, "train.steps": 3, "train.checkpoint_every": 1, "train.keep": 3})
    words = (
        r"^3 steps in a row, 1 to 3, were left out: objectives\.far \(boundless of plugin .*\) gave inf; all"
    )
    with pytest.raises(TrainingError, match=words):  # no step was taken
        train(made, tmp_path / "run", registry=registry)
    first, last = (checkpoint.load(checkpoint.place(tmp_path / "run" / "checkpoints", n)) for n in (1, 3))
    assert all(torch.equal(tensor, first.model[name]) for name, tensor in last.model.items())


def test_a_fused_step_is_left_out_on_the_device() -> None:
    made = [torch.nn.Parameter(torch.arange(4.0)), torch.nn.Parameter(torch.ones(2, 2))]
    plain = [torch.nn.Parameter(part.detach().clone()) for part in made]
    guarded, reference = (torch.optim.AdamW(parts, lr=0.1, fused=True) for parts in (made, plain))
    for finite in (False, True, False, True):
        for one, other in zip(made, plain, strict=True):
            one.grad = torch.full_like(one, 0.5 if finite else math.nan)
            other.grad = torch.full_like(other, 0.5)
        step_where(torch.tensor(finite), guarded)
        if finite:
            reference.step()
    for one, other in zip(made, plain, strict=True):
        assert torch.equal(one, other)
        for key, value in reference.state[other].items():
            assert torch.equal(guarded.state[one][key], value)


def test_buffers_of_every_kind_are_put_back() -> None:
    accelerator = launch(recipe().train)
    module = torch.nn.BatchNorm1d(3)
    module.register_buffer("alike", torch.arange(3.0).expand(2, 3))  # which torch refuses to write into
    module.register_buffer("turned", torch.arange(6).reshape(2, 3).T)
    module.register_buffer("empty", torch.zeros(0))
    guard = Guard(
        module, accelerator.prepare(torch.optim.AdamW(module.parameters(), fused=True)), accelerator
    )
    before = {name: value.clone() for name, value in module.state_dict().items()}
    guard.keep()
    module(torch.tensor([[1.0, math.nan, 2.0], [0.0, 1.0, 4.0]])).sum().backward()
    module.turned.add_(1)
    guard.step(torch.tensor(math.nan))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_row_is_broken_by_a_step_that_is_taken() -> None:
    skips = Skips(scaled=False)
    left, taken = {"skipped": "", "loss": 1.0}, {"loss": 1.0}
    assert skips.follow([left] * 9 + [taken] + [left] * 9) == []
    assert skips.count == 18
    assert len(skips.follow([left, taken])) == 10  # also when the row has ended since


def test_a_loss_scaler_may_leave_out_what_it_takes_to_come_down_from_65536() -> None:
    overflow, broken = {"skipped": "", "loss": 1.0}, {"skipped": "", "loss": math.nan}
    skips = Skips(scaled=True)
    assert skips.follow([overflow] * 25) == []
    assert len(skips.follow([overflow])) == 26
    skips = Skips(scaled=True)
    assert skips.follow([overflow] * 5 + [broken] * 9) == []
    assert len(skips.follow([broken])) == 15
    assert skips.excused(overflow)
    assert not Skips(scaled=False).excused(overflow)


def test_a_rank_suspects_its_own_rows_by_vectors_and_inputs() -> None:
    flags = torch.tensor([True, False])
    host = Batch(
        {"image": flags, "text": ~flags, "audio": ~flags},
        {},
        {},
        {},
        {},
        torch.tensor([1, 0]),
        torch.tensor([7, 5]),
    )
    vectors = {
        "encoders.image": torch.tensor([False, True, True, True]),  # of two ranks; another one's row
        "encoders.text": torch.tensor([True, True, True, True]),
        "encoders.audio": torch.tensor([True, True, True, False]),
        "fuser": torch.tensor([True, True, False, False]),
    }
    inputs = {
        "image": torch.tensor([0.5]),
        "text": torch.tensor([math.nan]),
        "audio": torch.tensor([math.nan]),
    }
    found = suspects(Clues(vectors, inputs, host), rank=1, sources=["seen", "heard"])
    assert found == {
        "encoders.image": {},
        "inputs.image": {},
        "encoders.audio": {"seen": [5]},
        "inputs.audio": {"seen": [5]},
        "fuser": {"heard": [7], "seen": [5]},
    }  # a text that is not finite has harmed nothing


def test_what_all_ranks_suspect_is_joined_and_the_first_cause_kept() -> None:
    ranks = [
        {"encoders.audio": {"heard": [7]}, "fuser": {"heard": [7], "seen": [1]}},
        {"encoders.audio": {"heard": [2]}, "inputs.audio": {"heard": [2]}, "encoders.text": {"seen": [4]}},
    ]
    found = blame(ranks)
    assert found == {"inputs.audio": {"heard": [2]}, "encoders.text": {"seen": [4]}}
    assert blame([{}, {"fuser": {"seen": [1]}}]) == {"fuser": {"seen": [1]}}
    line: dict[str, Any] = {"loss": math.nan, "loss/align": math.nan, "grad_norm": math.nan}
    mark(line, found, {"encoders.text": "mine"}, scaled=False)
    assert line["skipped"] == "audio holds NaN or infinity; encoders.text (mine) gave NaN or infinity"
    assert line["rows"] == {"heard": [2], "seen": [4]}
    assert told([line]) == ": row 2 of 'heard', row 4 of 'seen'"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_leaves_steps_out(precision: str, registry: Registry, tmp_path: Path) -> None:
    made = recipe(SOME | {"train.precision": precision, "train.log_every": 8, "train.checkpoint_every": 8})
    run = train(made, tmp_path / "run", registry=registry)
    left = [line["step"] for line in lines(run) if "skipped" in line]
    assert {2, 6} <= set(left)
    assert left == [2, 6] or precision == "fp16"
    found = checkpoint.load(checkpoint.place(run.checkpoints, 8))
    assert all(tensor.isfinite().all() for tensor in {**found.model, **found.optimizer}.values())
    assert found.optimizer["encoders.text.layer.weight/step"] == 8 - len(left)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_nobody_waits_for_a_gpu_to_know_whether_a_step_is_left_out() -> None:
    accelerator = launch(recipe().train)
    norm = torch.nn.BatchNorm1d(4).cuda()
    adamw = accelerator.prepare(torch.optim.AdamW(norm.parameters(), fused=True))
    guard, zero = Guard(norm, adamw, accelerator), torch.zeros((), device="cuda")
    for finite in (True, False):
        before = {name: value.clone() for name, value in norm.state_dict().items()}
        torch.cuda.set_sync_debug_mode("error")
        try:
            guard.keep()
            norm(torch.randn(8, 4, device="cuda")).pow(3).sum().backward()
            guard.step(zero if finite else zero / 0)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        after = norm.state_dict()
        assert [torch.equal(after[name], value) for name, value in before.items()] == [not finite] * 5
