"""Train a recipe: one loop, read from top to bottom."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, send_to_device

from fusion import run as runs
from fusion.data.loader import load
from fusion.encoder import Encoder
from fusion.errors import FusionError
from fusion.picks import complete
from fusion.recipe import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.training.anchors import anchor
from fusion.training.backward import backward
from fusion.training.dry_run import try_evaluation
from fusion.training.finish import finish
from fusion.training.gather import share_buffers
from fusion.training.interrupt import Interrupt
from fusion.training.journal import Journal
from fusion.training.launch import launch, sharded
from fusion.training.memory import peak_mb
from fusion.training.optimizer import learning_rate, optimizer
from fusion.training.profiled import profiled
from fusion.training.progress import progress
from fusion.training.saving import Saver, began_with
from fusion.training.sharded_saving import ShardedSaver
from fusion.training.sharding import Sharded
from fusion.training.steps import training_steps
from fusion.training.teach import teach
from fusion.transfer.initial import initial_model
from fusion.transfer.teacher import open_teacher
from fusion.tuning import idle


def train(
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    profile: bool = False,
    registry: Registry | None = None,
) -> Run:
    """Train, evaluate and report a recipe; return its run.

    `out` is the run folder; without it runs/NAME is used, or the next free number of it. With `resume`
    the run goes on from its newest whole checkpoint and ends as if it had never stopped. `profile` writes
    a trace of some steps to profile.json in it and says where their time goes. Launched on several processes,
    all of them call this with the same arguments.

    Raises RecipeError, DataError, PluginError, RunError or TrainingError; Ctrl-C and SIGTERM save a
    checkpoint and raise KeyboardInterrupt.
    """
    registry = registry or Registry()
    recipe = complete(recipe, registry)
    settings = recipe.train
    accelerator = launch(settings)
    ranks, main = accelerator.num_processes, accelerator.is_main_process

    torch.manual_seed(settings.seed)
    model, start = initial_model(recipe, registry)
    anchors = anchor(recipe, model, start, registry)
    try_evaluation(recipe, model, registry)  # what is wrong there is better said now than at the end
    teacher = open_teacher(recipe, model, registry)
    steps = training_steps(recipe, model, registry, accelerator.process_index, ranks)
    run = _open(recipe, Path(out) if out else None, resume, accelerator)
    told: dict[str, Any] = {"processes": ranks, "sharded": sharded()}
    told |= {} if start is None else {"init": start.record()}
    if teacher is not None:
        steps, told["teacher"] = teach(teacher, steps, recipe, run.folder / "teacher", accelerator)
        teacher = None  # the training wants its memory

    if settings.compile:
        for encoder in model.encoders.values():
            encoder.compile()
    parts = Sharded(model, recipe, accelerator) if sharded() else None
    adamw = accelerator.prepare(optimizer(model, recipe, anchors.held))
    prepared = parts or accelerator.prepare(model)
    anchors.attach(adamw.optimizer)
    title = f"train {recipe.name}"
    with Interrupt() as interrupt, progress(title, settings.steps, main=main) as shown:
        journal = Journal(run, settings, model.origins, accelerator, registry, shown)
        given = (run, settings.keep, model, adamw, accelerator, journal, began_with(start, anchors))
        saver = Saver(*given) if parts is None else ShardedSaver(parts, *given)
        if start is not None:
            shown.say(str(start))
            for part in (part for part in start.mismatched if part.startswith("encoders.")):
                shown.warn(f"init: nothing of {part} was taken, what there is does not fit")
            for doubt in start.doubts:
                shown.warn(f"init: {doubt}")
        if recipe.prior is not None:
            shown.say(f"prior {anchors}")
        for name, tuning in model.tunings.items():
            if idle(tuning, cast(Encoder, model.encoders[name]), settings.steps):
                shown.warn(f"encoders.{name}.tune: nothing of it learns within {settings.steps} steps")
        for name in (name for name, rows in steps.order.sizes.items() if rows is None):
            shown.say(f"sources.{name} is a stream: its order is approximate, and depends on the processes")
        first, seconds = saver.restore() if resume else (0, 0.0)
        if main:
            registry.notify("fusion_train_start", recipe=recipe, model=model)
        began = time.monotonic() - seconds
        model.train()
        todo = range(first, settings.steps)
        batches = load(steps, todo, settings.workers)
        if profile and main:
            batches = profiled(batches, model, adamw.optimizer, run.folder / "profile.json", shown)
        for step, loaded in zip(todo, batches, strict=True):
            # random layers depend on (seed, step, rank) alone: resuming needs no state of generators
            torch.manual_seed(_mix(settings.seed, step, accelerator.process_index))
            model.start_step(step, settings.steps)
            rate = learning_rate(step, settings)
            for group in adamw.param_groups:
                group["lr"] = rate * group["lr_scale"]
            on_host = loaded.batch if parts is None else parts.complete(loaded.batch)
            batch = send_to_device(on_host, accelerator.device, non_blocking=True)
            losses = backward(prepared, batch, settings, accelerator)
            limit = settings.clip or float("inf")
            if parts is None:
                norm = accelerator.clip_grad_norm_(model.parameters(), limit)
            else:
                norm = parts.clip(limit)
            adamw.step()
            adamw.zero_grad()
            done = step + 1
            journal.note(done, rate, losses, norm, loaded)

            last = done == settings.steps
            due = last or done % settings.checkpoint_every == 0
            stop = False
            if due or step == first or done % settings.log_every == 0 or (ranks == 1 and interrupt.requested):
                stop = journal.flush(interrupt.requested)
            if (due or stop) and (main or parts is not None):
                saver.save(done, time.monotonic() - began)
            if stop and not last:
                raise KeyboardInterrupt(f"stopped after step {done}; go on with --resume --out {run.folder}")
        seconds = time.monotonic() - began
        journal.close()

    rows = settings.steps * settings.batch
    metrics: dict[str, Any] = {
        "train/steps": settings.steps,
        "train/seconds": round(seconds, 3),
        "train/rows_per_second": round(rows / seconds, 1),
        "train/peak_memory_mb": round(peak_mb(accelerator.device), 1),
        "data/bad_rows": len(journal.ledger.rows),
        **{f"train/rows/{kind}": count for kind, count in sorted(journal.presence.items())},
        **{f"parameters/{name}": count for name, (count, _) in model.count().items()},
        **({} if start is None else start.metrics()),
    }
    if ranks > 1:
        share_buffers(model)
    if parts is not None:
        model = parts.gathered()
    # an evaluation has too few batches, of too many sizes, to compile for
    with torch.compiler.set_stance("force_eager") if settings.compile else nullcontext():
        finish(run, recipe, model, metrics, told, accelerator, registry)
    return run


def _open(recipe: Recipe, out: Path | None, resume: bool, accelerator: Accelerator) -> Run:
    """Make or reopen the run folder on the main process; all processes hear of it, or of the error."""
    outcome: list[Path | FusionError | None] = [None]
    if accelerator.is_main_process:
        try:
            opened = (runs.reopen if resume else runs.create)(recipe.name, recipe, out)
            outcome = [opened.folder]
        except FusionError as error:
            outcome = [error]
    if accelerator.num_processes > 1:
        broadcast_object_list(outcome)
    [result] = outcome
    if isinstance(result, FusionError):
        raise result
    assert result is not None
    return Run(result)


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
