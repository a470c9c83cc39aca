"""What it costs to be able to leave a step out, and how long a job outlives one of its processes.

    python benchmarks/fault.py [rounds]

A step (forward, backward, clipping, fused AdamW) of the demo's model with 128 rows, and with a ResNet-18 for
the images, whose 60 buffers are kept: with the guard and with what the journal keeps of rows, beside AdamW
alone. It may cost 3 % more. Then the second of two processes that train is killed, under torchrun and started
by hand; the job may go on for 60 s.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from accelerate import Accelerator
from table import in_turns, row

from fusion import Registry, read_recipe
from fusion.build import build_model
from fusion.training.guard import Guard
from fusion.training.optimizer import optimizer
from fusion.training.skips import clues
from fusion.training.steps import training_steps

RESNET = "encoders.image={name: timm-image, model: resnet18, pretrained: false}"
MODELS = {"demo": [], "demo, ResNet-18": [RESNET, "train.batch=32"]}
TRAIN = ("-m", "fusion", "train", "bind_digits", "train.steps=100000", "train.log_every=1", "--out")


class Trainer:
    """A model, its optimiser and a batch, which takes steps with or without the guard."""

    def __init__(self, overrides: list[str], guarded: bool) -> None:
        torch.manual_seed(0)
        registry = Registry()
        recipe = read_recipe("bind_digits", overrides, registry)
        self.model = build_model(recipe, registry)
        self.batch = training_steps(recipe, self.model, registry)[0].batch
        accelerator = Accelerator(cpu=True)
        self.adamw = accelerator.prepare(optimizer(self.model, recipe))
        self.guard = Guard(self.model, self.adamw, accelerator) if guarded else None

    def seconds(self) -> float:
        began = time.process_time()
        if self.guard is not None:
            self.guard.keep()
        losses = self.model(self.batch)
        losses.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if self.guard is None:
            self.adamw.step()
        else:
            self.guard.step(norm)
            clues(losses, self.batch, self.batch)
        self.adamw.zero_grad()
        return time.process_time() - began


def outlived(by_hand: bool) -> float:
    """Return the seconds from the death of the second process until all have ended."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        if by_hand:
            with socket.create_server(("", 0)) as free:
                port = str(free.getsockname()[1])
            world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
            ranks = [world | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
            jobs = [_start([*TRAIN, str(out)], env) for env in ranks]
        else:
            launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
            jobs = [_start([*launcher, *TRAIN, str(out)], {})]
        while not (out / "metrics.jsonl").is_file():
            time.sleep(0.1)
        os.kill(jobs[1].pid if by_hand else _second(jobs[0].pid), signal.SIGKILL)
        began = time.monotonic()
        codes = [job.wait(120) for job in jobs]
        assert all(codes)
        return time.monotonic() - began


def _start(arguments: list[str], env: dict[str, str]) -> "subprocess.Popen[bytes]":
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, *arguments], env=os.environ | env, **quiet)


def _second(launcher: int) -> int:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    ranks = {pid: Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in children}
    return next(int(pid) for pid, env in ranks.items() if b"RANK=1" in env)


def main(rounds: int = 15) -> None:
    for name, overrides in MODELS.items():
        trainers = [Trainer(overrides, guarded) for guarded in (True, False)]
        ours, peer = in_turns(rounds, *(trainer.seconds for trainer in trainers))
        row(f"guarded step, {name}", *([1000 * s for s in side] for side in (ours, peer)), "ms", 1.03)
    for name, by_hand in (("torchrun", False), ("started by hand", True)):
        row(f"a process is killed, {name}, beside a minute", [outlived(by_hand)], [60.0], "s", 1.0)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
