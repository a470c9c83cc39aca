"""Train a recipe: one loop, read from top to bottom."""

import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device

from fusion import run as runs
from fusion.cache.cached import cached
from fusion.data.loader import load
from fusion.errors import RunError, TrainingError
from fusion.files import alone
from fusion.fitted import fitted
from fusion.launch import deepspeed
from fusion.picks import complete
from fusion.recipe.picks import Pick
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.shrink.apply import apply, begin, choose, prepare
from fusion.training.adversary import adversary
from fusion.training.agree import agreed
from fusion.training.anchors import anchor
from fusion.training.backward import Backward
from fusion.training.best import Selection
from fusion.training.dry_run import try_evaluation
from fusion.training.finish import finish, with_page
from fusion.training.fit import settle
from fusion.training.followers import Followers
from fusion.training.gather import share_buffers
from fusion.training.guard import Guard
from fusion.training.interrupt import Interrupt
from fusion.training.journal import Journal
from fusion.training.launch import divided, launch, sharded
from fusion.training.memory import peak_mb
from fusion.training.notices import give_notice
from fusion.training.optimizer import learning_rate, optimizer
from fusion.training.profiled import profiled
from fusion.training.progress import progress
from fusion.training.saving import began_with
from fusion.training.sharding import Sharded
from fusion.training.steps import training_steps
from fusion.training.teach import teach
from fusion.training.watch import together
from fusion.training.whole import Whole
from fusion.training.zero import Zero
from fusion.transfer.initial import initial_model
from fusion.transfer.teacher import open_teacher

PATIENCE = 30.0
"""Seconds in which a training that was told to end may do so, before another one goes on with its run."""


@together
def train(
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    profile: bool = False,
    compress: Sequence[Pick] = (),
    registry: Registry | None = None,
) -> Run:
    """Train, evaluate and report a recipe; return its run.

    `out` is the run folder; without it runs/NAME is used, or the next free number of it. With `resume`
    the run goes on from its newest whole checkpoint and ends as if it had never stopped. `profile` writes
    a trace of some steps to profile.json in it and says where their time goes. `compress` are compressions:
    each prepares the model before every step, and at the end they are applied in order. Launched on several
    processes, all of them call this with the same arguments.

    Raises RecipeError, DataError, PluginError, RunError or TrainingError; Ctrl-C and SIGTERM save a
    checkpoint and raise KeyboardInterrupt, for SIGTERM its subclass Stopped.
    """
    registry = registry or Registry()
    with ExitStack() as kept, Interrupt() as interrupt, Followers(registry) as followers:
        recipe, folder = fitted(complete(recipe, registry), registry), Path(out) if out else None
        return _train(recipe, folder, resume, profile, compress, registry, interrupt, followers, kept)


def _train(
    recipe: Recipe,
    out: Path | None,
    resume: bool,
    profile: bool,
    compress: Sequence[Pick],
    registry: Registry,
    interrupt: Interrupt,
    followers: Followers,
    kept: ExitStack,
) -> Run:
    if compress and sharded():
        raise TrainingError("a compression changes whole weights; launch without FSDP2 (--launch ddp)")
    accelerator = launch(recipe.train)
    if resume:
        finished = agreed(partial(with_page, recipe, out), accelerator)
        if finished is not None:
            return finished
    recipe, fitted = settle(recipe, out, resume, registry, accelerator)
    settings = recipe.train
    ranks, main = accelerator.num_processes, accelerator.is_main_process

    torch.manual_seed(settings.seed)
    chosen = choose(compress, registry)
    model, start = initial_model(recipe, registry)
    begin(model, recipe, chosen, registry)
    anchors = anchor(recipe, model, start, registry)
    try_evaluation(recipe, model, registry)  # what is wrong there is better said now than at the end
    attacked = adversary(recipe, model, registry)
    teacher = open_teacher(recipe, model, registry)
    followers.build(recipe, accelerator)
    steps = training_steps(recipe, model, registry, accelerator.process_index, ranks)
    run = _open(recipe, out, resume, accelerator, kept)
    interrupt.folder = run.folder
    told: dict[str, Any] = {"processes": ranks, "sharded": sharded()}
    told |= {"deepspeed": deepspeed.installed()} if divided() else {}
    told |= {} if start is None else {"init": start.record()}
    if teacher is not None:
        steps, told["teacher"] = teach(teacher, steps, recipe, registry, accelerator)
        teacher = None  # the training wants its memory
    if not chosen:  # what is kept of a frozen encoder would not be what a compression makes of it
        steps, read = cached(steps, recipe, model, registry, accelerator)
        told |= read

    if settings.compile:
        for encoder in model.encoders.values():
            encoder.compile()
    held = (Sharded if sharded() else Zero if divided() else Whole)(model, recipe, accelerator)
    adamw = held.optimizer(optimizer(model, recipe, anchors.held))
    anchors.attach(adamw.optimizer)
    backward = Backward(held, settings, accelerator)
    guard = Guard(model, adamw, accelerator)
    began_as = began_with(start, anchors, steps.order.sizes)
    with (
        interrupt.between_steps(ranks) as agreement,
        progress(f"train {recipe.name}", settings.steps, main=main) as shown,
        held.saver(run, settings.keep, model, adamw, accelerator, shown, began_as) as saver,
    ):
        journal = Journal(
            run, settings, list(steps.order.sizes), model.origins, accelerator, followers, shown
        )
        give_notice(shown, recipe, model, start, anchors, steps.order, fitted, backward.doubts)
        selection = Selection(recipe, run, held, registry, accelerator, shown)
        with interrupt.at_once():
            first, seconds = saver.restore(journal) if resume else (0, 0.0)
            selection.begin(first)
            followers.begin(run, recipe, first, accelerator, shown)
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
            _seed(_mix(settings.seed, step, accelerator.process_index), accelerator.device)
            model.start_step(step, settings.steps)
            prepare(model, chosen, step, settings.steps)
            rate = learning_rate(step, settings)
            for group in adamw.param_groups:
                group["lr"] = rate * group["lr_scale"]
            batch = send_to_device(held.complete(loaded.batch), accelerator.device, non_blocking=True)
            batch = attacked(batch, step)
            guard.keep()
            losses = backward(batch)
            norm = held.clip(settings.clip)
            guard.step(norm)
            adamw.optimizer.zero_grad()
            done = step + 1
            journal.note(done, rate, losses, norm, loaded, batch)

            stop = agreement(interrupt.requested)
            due = done == settings.steps or done % settings.checkpoint_every == 0
            if due or stop or step == first or done % settings.log_every == 0:
                journal.flush()
            saver.check()
            if (due or stop) and (main or held.all_save):
                saver.save(done, time.monotonic() - began, journal.state(), selection.best())
            if stop:
                saver.wait()
                accelerator.wait_for_everyone()  # who ends earlier would end the one that saves
                raise interrupt.ended(stop, f"stopped after step {done}")
            if due:
                with interrupt.at_once():
                    began += selection.measure(done)
        seconds = time.monotonic() - began
        journal.close()

    best = selection.take(saver.put_back)
    rows = settings.steps * settings.rows
    metrics: dict[str, Any] = {
        "train/steps": settings.steps,
        "train/seconds": round(seconds, 3),
        "train/rows_per_second": round(rows / seconds, 1),
        "train/peak_memory_mb": round(peak_mb(accelerator.device), 1),
        "train/skipped_steps": journal.skips.count,
        "data/bad_rows": len(journal.ledger.rows),
        **{f"train/rows/{kind}": count for kind, count in sorted(journal.presence.items())},
        **({} if start is None else start.metrics()),
        **best,
    }
    if ranks > 1:
        share_buffers(model)
    model = held.gathered()
    applied = apply(model, chosen)
    # an evaluation has too few batches, of too many sizes, to compile for
    with torch.compiler.set_stance("force_eager") if settings.compile else nullcontext():
        finish(run, recipe, model, metrics, told, accelerator, registry, applied)
    followers.end(run)
    return run


def _open(recipe: Recipe, out: Path | None, resume: bool, accelerator: Accelerator, kept: ExitStack) -> Run:
    """Make or reopen the run folder on the main process; all processes hear of it, or of the error.

    No other training writes into it until `kept` is left.
    """

    def make() -> Path:
        run = runs.resumable(recipe.name, out) if resume else runs.create(recipe.name, recipe, out)
        try:
            kept.enter_context(alone(run.folder, PATIENCE))
        except BlockingIOError as error:
            raise RunError(
                f"another process trains in {run.folder}; wait for its end, or choose another --out"
            ) from error
        return runs.reopen(recipe.name, recipe, run.folder).folder if resume else run.folder

    return Run(agreed(make, accelerator))


def _seed(number: int, device: torch.device) -> None:
    if device.type == "cpu":
        torch.default_generator.manual_seed(number)  # torch.manual_seed() looks for every kind of device
    else:
        torch.manual_seed(number)


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
