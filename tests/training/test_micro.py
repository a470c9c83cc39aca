"""A batch in micro-batches: the gradient of the whole, whatever is kept and however it is cut."""

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from fusion import (
    Batch,
    Embeddings,
    Encoding,
    Model,
    PluginError,
    Registry,
    Run,
    TrainingError,
    train,
)
from fusion.build import build_model
from fusion.data.parts import together
from fusion.losses import Losses, Rows
from fusion.recipe.schema import Train
from fusion.training.backward import Backward
from fusion.training.launch import launch
from fusion.training.memory import Graphs, limit, moments, used, weighed
from fusion.training.micro import cached
from fusion.training.steps import training_steps
from fusion.training.whole import Whole
from tests.training.toys import STILL, close, interrupted, lines, recipe, same, weights, write

STORMY = {f"encoders.{name}.dropout": 0.5 for name in ("image", "text", "audio")} | {"fuser.dropout": 0.5}
ROWS = {
    "train.batch": 12,
    "sources.seen.broken": [3, 4, 5, 6],  # unreadable: absent in every modality
    "objectives": {
        "align": {"name": "contrastive", "hub": "text"},
        "kind": {"name": "classify", "classes": 3, "weight": 0.5},
        "value": {"name": "regress", "target": "value"},
        "apart": {"name": "adversarial", "hidden": 8},
    },
}


def made(registry: Registry, micro: int, changes: dict[str, Any]) -> tuple[Model, Batch]:
    """Return a model and the batch of its first step, in micro-batches of so many rows."""
    wanted = recipe(ROWS | changes | {"train.micro_batch": micro})
    torch.manual_seed(0)
    model = build_model(wanted, registry)
    model.start_step(3, 8)
    return model, training_steps(wanted, model, registry)[0].batch


def gradients(model: Model) -> dict[str, Tensor]:
    return {name: part.grad for name, part in model.named_parameters() if part.grad is not None}


def stepped(registry: Registry, micro: int, room: float, changes: dict[str, Any]) -> Any:
    model, batch = made(registry, micro, changes)
    torch.manual_seed(7)
    losses = cached(model, batch, Graphs(model, room))
    return losses, gradients(model)


# the gradient


@pytest.mark.parametrize("fuser", ["attend", "mean"])
@pytest.mark.parametrize("micro", [1, 5, 6, 11])
@pytest.mark.parametrize("room", [0, 2000, math.inf])
def test_losses_and_gradients_are_those_of_the_whole_batch(
    fuser: str, micro: int, room: float, registry: Registry
) -> None:
    changes = STILL | {"fuser": {"name": fuser, "modality_dropout": 0.3}}
    if fuser == "attend":
        changes["fuser"] |= {"heads": 2, "layers": 1, "dropout": 0.0}
    else:
        changes.pop("fuser.dropout")
    model, batch = made(registry, 12, changes)
    assert not batch.parts
    whole = model(batch)
    whole.total.backward()
    losses, found = stepped(registry, micro, room, changes)
    torch.testing.assert_close(losses.total, whole.total, atol=1e-6, rtol=0)
    parts = [*(f"encoders.{name}" for name in batch.present), "fuser"]
    assert {name: finite.tolist() for name, finite in losses.finite.items()} == {
        part: [True] * 12 for part in parts
    }
    for name, value in whole.parts.items():
        torch.testing.assert_close(losses.parts[name], value, atol=1e-6, rtol=0)
    learnt = 0
    assert found.keys() == gradients(model).keys()
    for name, expected in gradients(model).items():
        size = max(1.0, float(expected.norm()))
        torch.testing.assert_close(found[name] / size, expected / size, atol=1e-6, rtol=0, msg=name)
        learnt += bool(expected.abs().max() > 1e-4)
    assert learnt > 12


def test_accumulated_gradients_are_not(registry: Registry) -> None:
    model, batch = made(registry, 12, STILL)
    model(batch).total.backward()
    whole = model.encoders["text"].layer.weight.grad.clone()
    model, batch = made(registry, 4, STILL)
    for part in batch.parts:
        (model(part).total / 3).backward()
    summed = model.encoders["text"].layer.weight.grad
    assert (summed - whole).norm() / whole.norm() > 0.1


def test_random_layers_draw_the_same_again(registry: Registry) -> None:
    """What is expected is one graph of all micro-batches, with the seed of each."""
    model, batch = made(registry, 5, STORMY)
    torch.manual_seed(7)
    *seeds, _ = torch.randint(2**32, (4,)).tolist()
    parts = []
    for seed, part in zip(seeds, batch.parts, strict=True):
        set_seed(seed)
        parts.append(model.rows(part))
    pooled = {name: torch.cat([rows.embeddings.pooled[name] for rows in parts]) for name in batch.present}
    embeddings = Embeddings(pooled, batch.present, {}, {}, batch.content, batch.source)
    model.losses(Rows(embeddings, torch.cat([rows.fused for rows in parts]), batch.targets)).total.backward()
    expected = gradients(model)
    _, nothing = stepped(registry, 5, 0, STORMY)
    torch.testing.assert_close(nothing, expected, atol=1e-6, rtol=0)
    assert (
        expected["encoders.text.layer.weight"]
        - stepped(registry, 5, 0, STILL)[1]["encoders.text.layer.weight"]
    ).norm() > 1e-2


@pytest.mark.parametrize("room", [1, 2000, 5000, math.inf])
def test_what_is_kept_changes_no_bit(room: float, registry: Registry) -> None:
    losses, nothing = stepped(registry, 2, 0, STORMY)
    other, some = stepped(registry, 2, room, STORMY)
    assert torch.equal(losses.total, other.total)
    assert same(nothing, some)


def test_random_numbers_of_numpy_are_drawn_again_too(registry: Registry, toy: ModuleType) -> None:
    class Noisy(toy.Tower):  # type: ignore[misc, name-defined]
        def forward(self, x: Tensor) -> Encoding:
            return super().forward(x * float(np.random.uniform(0.5, 2)))

    found = []
    for room in (0, math.inf):
        model, batch = made(registry, 4, STILL)
        model.encoders["text"] = Noisy(dropout=0.0)
        nn.init.constant_(model.encoders["text"].layer.weight, 0.1)
        torch.manual_seed(7)
        cached(model, batch, Graphs(model, room))
        found.append(gradients(model))
    assert same(*found)


def test_an_encoder_that_is_another_function_when_it_is_called_again_is_found(
    registry: Registry, toy: ModuleType
) -> None:
    class Counting(toy.Tower):  # type: ignore[misc, name-defined]
        calls = 0

        def forward(self, x: Tensor) -> Encoding:
            self.calls += 1
            return super().forward(x + self.calls)

    model, batch = made(registry, 4, STORMY)
    cached(model, batch, Graphs(model, 0), compare=True)
    model.encoders["text"] = Counting()
    with pytest.raises(
        PluginError, match=r"encoders\.text \(toy-text of .* the same rows were encoded again"
    ):
        cached(model, batch, Graphs(model, 0), compare=True)


@pytest.mark.parametrize("room", [0, math.inf])
def test_running_statistics_move_once(room: float, registry: Registry) -> None:
    changes = {
        "encoders.audio": {"name": "toy-normed"},
        **{k: v for k, v in STILL.items() if "audio" not in k},
    }
    model, batch = made(registry, 6, changes)
    norm = model.encoders["audio"].norm
    expected = torch.zeros(4)
    for part in batch.parts:
        expected = 0.9 * expected + 0.1 * part.inputs["audio"]["x"].mean(0)
    assert all(len(part.inputs["audio"]["x"]) > 1 for part in batch.parts)
    cached(model, batch, Graphs(model, room))
    torch.testing.assert_close(norm.running_mean, expected)
    assert norm.num_batches_tracked == 2
    assert norm.track_running_stats


# memory


def test_a_graph_is_weighed_by_what_it_saves() -> None:
    weight = nn.Parameter(torch.ones(8, 4))
    x = torch.ones(16, 4)  # 256 bytes, saved by the product; and 512 of its output, saved by tanh
    with weighed({weight.untyped_storage().data_ptr()}, torch.device("cpu")) as found:
        y = (x @ weight.T).tanh()
    assert found[0] == 256 + 512
    y.sum().backward()
    torch.testing.assert_close(
        weight.grad, torch.full((8, 4), 16 * (1 - math.tanh(4) ** 2)), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(("room", "kept"), [(0, 0), (0.5, 0), (1, 1), (1.99, 1), (2, 2), (3.5, 3), (99, 6)])
def test_as_many_graphs_are_kept_as_there_is_room_for(room: float, kept: int, registry: Registry) -> None:
    changes = STILL | {"sources": {"all": {"name": "toy"}}}
    changes["objectives"] = {"align": {"name": "contrastive"}}
    model, batch = made(registry, 2, changes)
    graphs = Graphs(model, math.inf)
    cached(model, batch, graphs)
    one = graphs.largest
    assert graphs.held == pytest.approx(6 * one, rel=1e-3)  # masks are kept where a row lacks a modality
    assert one > 0
    graphs.room = room * one
    calls = []
    model.encoders["text"].register_forward_hook(lambda *given: calls.append(torch.is_grad_enabled()))
    cached(model, batch, graphs)
    assert calls == [True] * kept + [False] * (6 - kept) + [True] * (6 - kept)
    assert graphs.held == pytest.approx(kept * one, rel=1e-3)


def test_the_limit_is_what_is_given_or_a_part_of_what_is_free() -> None:
    cpu = torch.device("cpu")
    assert limit(cpu, 1.5) == 1.5e9
    assert used(cpu) < limit(cpu, None)
    assert moments(nn.Linear(3, 5)) == 2 * 4 * (15 + 5)


def test_a_training_keeps_graphs_from_the_second_step_on(registry: Registry) -> None:
    model, batch = made(registry, 4, STILL)
    for gigabytes, kept in ((1e-6, 0), (1e6, 3)):
        accelerator = Accelerator(cpu=True)
        settings = Train(steps=1, batch=12, micro_batch=4, memory_gb=gigabytes)
        step = Backward(Whole(model, recipe(), accelerator), settings, accelerator)
        calls: list[bool] = []
        hook = model.encoders["text"].register_forward_hook(
            lambda *given, calls=calls: calls.append(torch.is_grad_enabled())
        )
        step(batch)
        assert calls == [False] * 3 + [True] * 3
        calls.clear()
        step(batch)
        assert calls == [True] * kept + [False] * (3 - kept) + [True] * (3 - kept)
        hook.remove()


# a training


@pytest.fixture(scope="module")
def whole(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in micro-batches, with dropout, that was never interrupted."""
    changes = {"train.batch": 12, "train.micro_batch": 5}
    return train(recipe(changes), tmp_path_factory.mktemp("runs") / "whole", registry=registry)


def test_memory_and_workers_change_no_bit(whole: Run, registry: Registry, tmp_path: Path) -> None:
    changes = {"train.batch": 12, "train.micro_batch": 5, "train.memory_gb": 0.001, "train.workers": 2}
    run = train(recipe(changes), tmp_path / "run", registry=registry)
    assert lines(run) == lines(whole)
    assert same(weights(run), weights(whole))
    assert run.metrics["train/rows/image+text"] == 64  # two thirds of 8 steps of 12 rows


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    whole: Run, registry: Registry, tmp_path: Path
) -> None:
    wanted = recipe({"train.batch": 12, "train.micro_batch": 5})
    resumed = interrupted(wanted, tmp_path / "run", 3, registry)
    assert lines(resumed) == lines(whole)
    assert same(weights(resumed), weights(whole))


def test_a_micro_batch_of_all_rows_is_the_plain_way(registry: Registry, tmp_path: Path) -> None:
    plain = train(recipe(), tmp_path / "plain", registry=registry)
    all_rows = train(recipe({"train.micro_batch": 6}), tmp_path / "all", registry=registry)
    assert lines(plain) == lines(all_rows)
    assert same(weights(plain), weights(all_rows))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_takes_the_steps_of_the_whole_batch(
    precision: str, registry: Registry, tmp_path: Path
) -> None:
    changes = STILL | {"train.batch": 12, "train.precision": precision}
    one = train(recipe(changes), tmp_path / "one", registry=registry)
    run = train(recipe(changes | {"train.micro_batch": 5}), tmp_path / "run", registry=registry)
    close = {"fp32": 1e-5, "bf16": 3e-2}[precision]
    for ours, theirs in zip(lines(run), lines(one), strict=True):
        for key, value in theirs.items():
            assert ours[key] == pytest.approx(value, rel=close, abs=close), key


@pytest.mark.parametrize("override", ["train.micro_batch=1", "encoders.text.tune={recompute: true}"])
def test_two_processes_that_save_memory_train_what_one_does_that_does_not(
    override: str, registry: Registry, torchrun: Any, tmp_path: Path
) -> None:
    """A step has a sound in one micro-batch of one rank, or none."""
    changes = STILL | {
        "sources.seen.weight": 7,
        "sources.heard.weight": 2,
        "train.batch": 4,
        "objectives": ROWS["objectives"],
    }
    path = write(recipe(changes), tmp_path / "toy.yaml")
    out = tmp_path / "run"
    done = torchrun(2, "-m", "fusion", "train", str(path), "--out", str(out), override)
    assert done.returncode == 0, done.stderr
    two = Run(out)
    one = train(recipe(changes), tmp_path / "one", registry=registry)
    assert one.metrics["train/rows/text+audio"] == 7  # in 7 of 8 steps
    close(one, two)


@pytest.mark.parametrize(("micro", "told"), [(2, True), (6, False), (None, False)])
def test_statistics_of_a_micro_batch_are_told(
    micro: int | None, told: bool, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"encoders.audio": {"name": "toy-normed"}, "train.micro_batch": micro, "train.steps": 1}
    train(recipe(changes), tmp_path / "run", registry=registry)
    said = "encoders.audio: BatchNorm takes the statistics of 2 rows (train.micro_batch), not of a batch of 6"
    assert (said in capsys.readouterr().err) is told


def test_a_micro_batch_that_does_not_fit_says_so(registry: Registry, tmp_path: Path) -> None:
    changes = {"encoders.audio": {"name": "toy-hungry"}, "train.micro_batch": 2}
    with pytest.raises(TrainingError, match=r"2 rows at once, of 6 per process.*lower train.micro_batch"):
        train(recipe(changes), tmp_path / "run", registry=registry)


def test_accumulation_that_accelerate_was_configured_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    with pytest.raises(TrainingError, match=r"accumulates over 4 steps; adding up .* train\.micro_batch"):
        launch(recipe().train)


# the batch


def test_a_batch_in_parts_is_the_same_rows(registry: Registry) -> None:
    _, whole = made(registry, 12, STILL)
    _, cut = made(registry, 5, STILL)
    assert [len(part.row) for part in cut.parts] == [5, 5, 2]
    assert cut.inputs == {}
    assert not any(part.parts for part in cut.parts)
    for field in ("present", "shown", "targets", "content"):
        expected = getattr(whole, field)
        torch.testing.assert_close(getattr(cut, field), expected, atol=0, rtol=0, equal_nan=True)
    assert torch.equal(cut.row, whole.row)
    assert torch.equal(cut.source, whole.source)
    for name, inputs in whole.inputs.items():
        parts = [part.inputs[name]["x"] for part in cut.parts if name in part.inputs]
        assert torch.equal(torch.cat(parts), inputs["x"])
    again = together(cut.parts)
    assert torch.equal(again.row, whole.row)


def test_a_model_does_not_take_the_parts_for_a_batch_without_inputs(registry: Registry) -> None:
    model, cut = made(registry, 5, STILL)
    with pytest.raises(AssertionError, match="micro-batches"):
        model(cut)
    assert isinstance(model(cut.parts[0]), Losses)
