"""What only a CUDA device can show; these run where there is one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.utils import send_to_device

from fusion import Pull, Registry, load, read_recipe, train
from fusion.build import build_model
from fusion.picks import shrink
from fusion.training.adversary import adversary
from fusion.training.anchors import Anchors
from fusion.training.fit import fit
from fusion.training.memory import Graphs, peak
from fusion.training.micro import cached
from fusion.training.optimizer import optimizer
from fusion.training.snapshot import Snapshot
from fusion.training.steps import training_steps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_recipe_trains_in_every_precision(precision: str, registry: Registry, tmp_path: Path) -> None:
    recipe = shrink(read_recipe("bind_digits", [f"train.precision={precision}"], registry), registry)
    run = train(recipe, tmp_path / precision, registry=registry)
    assert run.finished
    assert load(run, registry=registry).encode({"text": "seven"}).fused.isfinite().all()


def test_a_step_never_waits_for_the_device(registry: Registry) -> None:
    recipe = shrink(read_recipe("bind_digits", registry=registry), registry)
    model = build_model(recipe, registry).cuda()
    steps = training_steps(recipe, model, registry)
    adamw = optimizer(model, recipe)
    named = dict(model.named_parameters())
    each = (torch.ones_like, lambda part: 1.0)  # strengths of a number each, and of all
    pulls = {
        name: Pull(each[number % 2](part), part.detach().clone() if number % 3 else None)
        for number, (name, part) in enumerate(named.items())
    }
    Anchors("all", named, pulls).attach(adamw)
    for step in range(3):
        batch = send_to_device(steps[step].batch, "cuda")
        torch.cuda.set_sync_debug_mode("error" if step else "default")  # the first step may set things up
        try:
            model(batch).total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adamw.step()
            adamw.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_an_attack_in_a_step_waits_for_no_number_of_the_device(registry: Registry) -> None:
    radius = "train.adversarial={radius: {image: 0.03, audio: 0.01}, steps: 2, share: 0.5, norm: "
    for norm in ("linf", "l2"):
        recipe = read_recipe("bind_digits", ["train.batch=32", radius + norm + "}"], registry)
        torch.manual_seed(0)
        model = build_model(recipe, registry).cuda()
        attacked = adversary(recipe, model, registry)
        steps = training_steps(recipe, model, registry)
        found = []
        for step in range(2):
            batch = send_to_device(steps[step].batch, "cuda")
            torch.cuda.set_sync_debug_mode("error" if step else "default")
            try:
                found.append(attacked(batch, step))
            finally:
                torch.cuda.set_sync_debug_mode("default")
        assert not torch.equal(found[1].inputs["image"]["x"], batch.inputs["image"]["x"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_shards_give_the_losses_of_a_whole_copy(precision: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fusion", "train", "bind_digits", "--tiny", f"train.precision={precision}"]
    for name, launch in (("whole", []), ("shards", ["--launch", "fsdp2"])):
        done = subprocess.run(
            [*words, "train.steps=6", "train.log_every=1", "--out", str(tmp_path / name), *launch],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    whole, shards = (
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "shards")
    )
    assert len(whole) == 6
    assert shards == pytest.approx(whole, rel=1e-3 if precision == "fp32" else 2e-2)
    assert load(tmp_path / "shards").encode({"text": "seven"}).fused.isfinite().all()


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")  # torch's compiler uses it
def test_compiled_encoders_train_and_a_profile_sees_the_device(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ["train.compile=true", "train.precision=bf16", "train.steps=10"]
    recipe = shrink(read_recipe("bind_digits", overrides, registry), registry)
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"steps": 10})})
    run = train(recipe, tmp_path / "run", profile=True, registry=registry)
    assert run.finished
    assert "profile of 5 steps of" in capsys.readouterr().err
    assert '"cat": "kernel"' in (run.folder / "profile.json").read_text("utf-8")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_recipe_trains_in_micro_batches(precision: str, registry: Registry, tmp_path: Path) -> None:
    overrides = [f"train.precision={precision}", "train.micro_batch=5"]
    recipe = shrink(read_recipe("bind_digits", overrides, registry), registry)
    assert train(recipe, tmp_path / precision, registry=registry).finished


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_micro_batches_have_the_same_gradient_and_never_wait(kept: int, registry: Registry) -> None:
    recipe = shrink(read_recipe("bind_digits", ["train.micro_batch=4"], registry), registry)
    torch.manual_seed(0)
    model = build_model(recipe, registry).cuda()
    batch = send_to_device(training_steps(recipe, model, registry)[0].batch, "cuda")
    graphs = Graphs(model, 0, "cuda")
    torch.manual_seed(1)
    cached(model, batch, graphs)
    expected = {name: part.grad for name, part in model.named_parameters()}
    model.zero_grad()
    graphs.room = 1
    cached(model, batch, graphs)
    assert graphs.largest > 0
    graphs.room = kept * graphs.largest
    model.zero_grad()
    torch.manual_seed(1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        cached(model, batch, graphs)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for name, part in model.named_parameters():
        if expected[name] is None:
            assert part.grad is None
        else:
            torch.testing.assert_close(part.grad, expected[name], atol=1e-5, rtol=1e-4, msg=name)


def test_the_batch_that_is_found_grows_with_the_memory(registry: Registry) -> None:
    recipe = read_recipe("bind_digits", ["train.batch=auto"], registry)
    found = []
    for gigabytes in (0.3, 1.0):
        wanted = recipe.model_copy(update={"train": recipe.train.model_copy(update={"memory_gb": gigabytes})})
        found.append(fit(wanted, registry, torch.device("cuda")).batch)
    assert found[0] < found[1]


def test_recomputed_blocks_need_less_memory_and_change_no_bit(registry: Registry) -> None:
    found = []
    for overrides in ([], ["encoders.image.tune.recompute=true", "encoders.text.tune.recompute=true"]):
        recipe = read_recipe("bind_digits", ["train.batch=256", *overrides], registry)
        torch.manual_seed(0)
        model = build_model(recipe, registry).cuda()
        batch = send_to_device(training_steps(recipe, model, registry)[0].batch, "cuda")
        with peak(torch.device("cuda")) as most:
            torch.manual_seed(1)
            model(batch).total.backward()
        found.append((most[0], model.encoders["text"].bytes.weight.grad))
    assert found[1][0] < found[0][0]
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-5, rtol=1e-4)


def test_a_copy_for_a_checkpoint_is_of_the_step_at_which_it_was_taken_and_waits_for_nothing() -> None:
    state = torch.arange(50_000_000, device="cuda", dtype=torch.float32)
    snapshot = Snapshot()
    torch.cuda.synchronize()
    for number in range(2):  # the second time into memory that is there
        torch.cuda.set_sync_debug_mode("error" if number else "default")
        try:
            copies = snapshot.take({"state": state})
            state.add_(1)  # the next step
        finally:
            torch.cuda.set_sync_debug_mode("default")
        snapshot.wait()
        assert copies["state"].is_pinned()
        assert torch.equal(copies["state"], (state - 1).cpu())
