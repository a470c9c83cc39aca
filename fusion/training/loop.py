"""Train a recipe: one loop, read from top to bottom."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, send_to_device

from fusion import run as runs
from fusion.data.loader import load
from fusion.encoder import Encoder
from fusion.errors import FusionError, RunError, TrainingError
from fusion.model import Model
from fusion.picks import complete
from fusion.recipe import Recipe, Train
from fusion.registry import Registry
from fusion.run import Run
from fusion.training import checkpoint
from fusion.training.anchors import Anchors, anchor
from fusion.training.checkpoint import Checkpoint
from fusion.training.dry_run import try_evaluation
from fusion.training.finish import finish
from fusion.training.gather import gather, share_buffers
from fusion.training.interrupt import Interrupt
from fusion.training.journal import Journal
from fusion.training.launch import launch
from fusion.training.memory import peak_mb
from fusion.training.optimizer import learning_rate, optimizer
from fusion.training.progress import progress
from fusion.training.steps import training_steps
from fusion.training.teach import teach
from fusion.transfer.initial import Start, initial_model
from fusion.transfer.teacher import open_teacher
from fusion.tuning import idle

Digests = dict[str, str | None]


def train(
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    registry: Registry | None = None,
) -> Run:
    """Train, evaluate and report a recipe; return its run.

    `out` is the run folder; without it runs/NAME is used, or the next free number of it. With `resume`
    the run goes on from its newest whole checkpoint and ends as if it had never stopped. Launched on
    several processes, all of them call this with the same arguments.

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
    told = {} if start is None else {"init": start.record()}
    if teacher is not None:
        steps, told["teacher"] = teach(teacher, steps, recipe, run.folder / "teacher", accelerator)
        teacher = None  # the training wants its memory

    prepared, adamw = accelerator.prepare(model, optimizer(model, recipe, anchors.held))
    anchors.attach(adamw.optimizer)
    began_with = _began_with(start, anchors)
    title = f"train {recipe.name}"
    with Interrupt() as interrupt, progress(title, settings.steps, main=main) as shown:
        journal = Journal(run, settings, model.origins, accelerator, registry, shown)
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
        first, seconds = 0, 0.0
        if resume:
            first, seconds = _restore(run, model, adamw, accelerator, journal, began_with)
        if main:
            registry.notify("fusion_train_start", recipe=recipe, model=model)
        began = time.monotonic() - seconds
        model.train()
        todo = range(first, settings.steps)
        for step, loaded in zip(todo, load(steps, todo, settings.workers), strict=True):
            # random layers depend on (seed, step, rank) alone: resuming needs no state of generators
            torch.manual_seed(_mix(settings.seed, step, accelerator.process_index))
            model.start_step(step, settings.steps)
            rate = learning_rate(step, settings)
            for group in adamw.param_groups:
                group["lr"] = rate * group["lr_scale"]
            batch = send_to_device(loaded.batch, accelerator.device, non_blocking=True)
            with _words_for_memory(settings, ranks):
                losses = prepared(batch, gather if ranks > 1 else None)
                accelerator.backward(losses.total)
            norm = accelerator.clip_grad_norm_(model.parameters(), settings.clip or float("inf"))
            adamw.step()
            adamw.zero_grad()
            done = step + 1
            journal.note(done, rate, losses, norm, loaded)

            last = done == settings.steps
            due = last or done % settings.checkpoint_every == 0
            stop = False
            if due or step == first or done % settings.log_every == 0 or (ranks == 1 and interrupt.requested):
                stop = journal.flush(interrupt.requested)
            if (due or stop) and main:
                seconds = time.monotonic() - began
                state = _state(model, adamw, accelerator, journal, began_with, seconds)
                checkpoint.save(run.checkpoints, Checkpoint(done, *state), settings.keep)
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
    finish(run, recipe, model, metrics, told, accelerator, registry)
    return run


@contextmanager
def _words_for_memory(settings: Train, ranks: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{settings.batch // ranks} rows per process do not fit into the device's memory; lower "
            f"train.batch ({settings.batch}), use more processes, or train.precision bf16 ({error})"
        ) from error


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


def _state(
    model: Model,
    adamw: Any,
    accelerator: Accelerator,
    journal: Journal,
    began_with: Digests,
    seconds: float,
) -> tuple[Any, Any, dict[str, Any]]:
    state: dict[str, Any] = {"seconds": seconds, "presence": dict(journal.presence), **began_with}
    if accelerator.scaler is not None:
        state["scaler"] = accelerator.scaler.state_dict()
    return model.state_dict(), checkpoint.optimizer_tensors(model, adamw.optimizer), state


def _began_with(start: Start | None, anchors: Anchors) -> Digests:
    """Return the SHA-256 of what a training reads once more when it is resumed."""
    return {"init": None if start is None else start.origin["sha256"], "prior": anchors.digest}


def _restore(
    run: Run,
    model: Model,
    adamw: Any,
    accelerator: Accelerator,
    journal: Journal,
    began_with: Digests,
) -> tuple[int, float]:
    """Load the newest whole checkpoint; return the steps that are done and the seconds they took.

    Raises RunError when the training began with other weights than there are now.
    """
    found, damaged = checkpoint.latest(run.checkpoints) if accelerator.is_main_process else (None, [])
    for message in damaged:
        journal.progress.warn(f"{message}; taking the one before")
    if accelerator.num_processes > 1:
        chosen = [None if found is None else found.step]  # all ranks take what the main process takes
        broadcast_object_list(chosen)
        if found is None and chosen[0] is not None:
            found = checkpoint.load(checkpoint.place(run.checkpoints, chosen[0]))
    if found is None:
        journal.rewind(0)
        return 0, 0.0
    changed = [key for key, digest in began_with.items() if found.state.get(key) != digest]
    if changed:
        raise RunError(
            f"{run.folder} began with other weights than {' and '.join(changed)} give now; put them back as "
            "they were, or start anew in another --out"
        )
    model.load_state_dict(found.model)
    checkpoint.restore_optimizer(model, adamw.optimizer, found.optimizer)
    if accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(found.state["scaler"])
    journal.presence.update(found.state["presence"])
    journal.rewind(found.step)
    return found.step, found.state["seconds"]


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
