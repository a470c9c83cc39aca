"""Profile some steps of a training: a trace of them, and where their time goes in one line."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.profiler import ProfilerActivity, profile

from fusion.data.loader import Loaded
from fusion.training.progress import Progress

FIRST, STEPS = 3, 5
"""How many steps pass before, since the first ones set things up, and how many are profiled."""

PARTS = ("data", "forward", "backward", "optimizer", "waiting")


def profiled(
    batches: Iterator[Loaded], model: nn.Module, optimizer: Optimizer, path: Path, progress: Progress
) -> Iterator[Loaded]:
    """Yield the batches of a training; write the trace of some steps to `path` and say what they took.

    The trace is one of Chrome's, for ui.perfetto.dev. Between the parts of a profiled step the device is
    waited for, so that each has its own time: `forward` with the losses, `backward` with all else up to the
    optimiser's step, `waiting` what is left, such as for other processes when losses are written down.
    """
    for _, loaded in zip(range(FIRST), batches, strict=False):
        yield loaded
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    steps = 0
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it complains where there is no GPU
    with profile(activities=activities) as trace, _Clock(model, optimizer) as clock:
        for _, loaded in zip(range(STEPS), batches, strict=False):
            clock.begin("waiting")
            yield loaded
            clock.begin("data")
            steps += 1
    if steps == 0:
        progress.warn(f"--profile needs a training of more than {FIRST} steps")
        return
    trace.export_chrome_trace(str(path))
    total = sum(clock.seconds.values())
    shares = ", ".join(f"{part} {clock.seconds[part] / total:.0%}" for part in PARTS)
    progress.say(f"profile of {steps} steps of {1e3 * total / steps:.1f} ms: {shares}; the trace is {path}")
    yield from batches


class _Clock:
    """Adds up the seconds of each part of the steps; a part lasts until the next one begins."""

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._part, self._since = "data", time.perf_counter()
        self._hooks = [
            model.register_forward_pre_hook(lambda *_: self.begin("forward")),
            model.register_forward_hook(lambda *_: self.begin("backward")),
            optimizer.register_step_pre_hook(lambda *_: self.begin("optimizer")),
            optimizer.register_step_post_hook(lambda *_: self.begin("waiting")),
        ]

    def begin(self, part: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds[self._part] += now - self._since
        self._part, self._since = part, now

    def __enter__(self) -> "_Clock":
        self._since = time.perf_counter()
        return self

    def __exit__(self, *_: Any) -> None:
        self.begin("data")
        for hook in self._hooks:
            hook.remove()
