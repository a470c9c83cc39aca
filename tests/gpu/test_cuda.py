"""What only a CUDA device can show; these run where there is one."""

from pathlib import Path

import pytest
import torch
from accelerate.utils import send_to_device

from fusion import Pull, Registry, load, read_recipe, train
from fusion.build import build_model
from fusion.picks import shrink
from fusion.training.anchors import Anchors
from fusion.training.optimizer import optimizer
from fusion.training.snapshot import Snapshot
from fusion.training.steps import training_steps

pytestmark = [
    pytest.mark.gpu,
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
