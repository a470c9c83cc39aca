"""Kill a training again and again, go on each time, and compare with one that was never interrupted.

    python benchmarks/kill.py [kills] [ranks] [seed]

Each training is `fusion train` of a small bind_digits, with random layers and augmentation, in processes of
its own. SIGKILL comes at a random time between start and report, or while a checkpoint is written; to all of
them, or to one, after which the others are ended as torchrun would end them. At least a fifth of the kills
are inside a save, which is told by the half of a checkpoint that is left. Weights and losses have to be the
same to the bit: exit code 1 if not.
"""

import multiprocessing
import os
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

RECIPE = [
    "bind_digits",
    *(f"encoders.{name}.dim=16" for name in ("image", "text", "audio")),
    *(f"sources.{name}.limit=64" for name in ("seen", "heard")),
    "fuser={name: attend, heads: 2, layers: 1, dropout: 0.1, modality_dropout: 0.5}",
    "train={steps: 40, batch: 12, lr: 2.0e-3, checkpoint_every: 3, log_every: 4}",
    "evaluate.limit=16",
]
SHARE = 5  # one kill of so many is inside a save, at least
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "fusion.cli",
        "fusion.training.loop",
        "fusion.report.page",
        "torch._dynamo",
        "torchmetrics",
        "sklearn.manifold",
    ]
)


def fusion(arguments: list[str], environment: dict[str, str], log: Path) -> None:
    """Be the command line, in a process that has imported what it needs."""
    os.environ.update(environment)
    with log.open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    sys.argv = ["fusion", *arguments]
    from fusion.cli import main

    main()


class Training:
    """The processes of one start of a training."""

    def __init__(self, folder: Path, ranks: int) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        world = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "MASTER_PORT": str(port)}
        world |= {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
        resume = ["--resume"] if (folder / "recipe.yaml").is_file() else []
        arguments = ["train", *RECIPE, "--out", str(folder), *resume]
        places = [
            world | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {} for rank in range(ranks)
        ]
        log = folder.with_suffix(".log")
        self.ranks = [CONTEXT.Process(target=fusion, args=(arguments, place, log)) for place in places]
        for process in self.ranks:
            process.start()

    @property
    def running(self) -> bool:
        return all(process.is_alive() for process in self.ranks)

    @property
    def saving(self) -> bool:
        return any(self.folder.glob("checkpoints/.step-*.partial"))

    def wait(self) -> None:
        """Wait for the end. Raises SystemExit for an error, with what the processes said."""
        for process in self.ranks:
            process.join()
        if any(process.exitcode for process in self.ranks):
            sys.exit(f"{self.folder} failed:\n{self.folder.with_suffix('.log').read_text()}")

    def kill(self, chance: random.Random) -> str:
        """Kill all processes or one of them, and return which."""
        victims = chance.choice([self.ranks, *([rank] for rank in self.ranks)])
        for process in victims:
            process.kill()
        time.sleep(0.1)
        for process in self.ranks:
            process.terminate()
        for process in self.ranks:
            process.join(30)
            if process.is_alive():
                process.kill()
                process.join()
        return "all" if len(victims) > 1 or len(self.ranks) == 1 else f"rank {self.ranks.index(victims[0])}"


def results(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "model.safetensors").read_bytes(), (folder / "metrics.jsonl").read_bytes()


def interrupt(training: Training, chance: random.Random, seconds: float, inside: bool) -> str | None:
    """Kill a training, and return which of its processes; None if it was finished before."""
    until = time.monotonic() + chance.uniform(0, 0.8 * seconds)
    while training.running and (time.monotonic() < until or (inside and not training.saving)):
        time.sleep(0.0002 if inside else 0.01)
    if not training.running:
        return None
    if inside:
        time.sleep(chance.uniform(0, 0.004))
    return training.kill(chance)


def main(kills: int = 50, ranks: int = 1, seed: int = 0) -> None:
    chance = random.Random(seed)
    killed, saves, runs = Counter[str](), 0, 0
    warm = CONTEXT.Process(target=int)  # starts the process of which the others are copies
    warm.start()
    warm.join()
    with tempfile.TemporaryDirectory() as temporary:
        began = time.monotonic()
        Training(Path(temporary) / "whole", ranks).wait()
        seconds = time.monotonic() - began
        whole = results(Path(temporary) / "whole")
        print(f"never interrupted: {seconds:.1f} s on {ranks} rank(s)", flush=True)
        while killed.total() < kills or saves * SHARE < kills:
            runs += 1
            folder, which = Path(temporary) / f"run-{runs}", []
            while not (folder / "manifest.json").is_file():  # what is missing then is at most the report
                training = Training(folder, ranks)
                victims = interrupt(training, chance, seconds, inside=chance.random() < 0.5)
                if victims is None:
                    training.wait()
                    break
                which.append(victims)
                saves += training.saving
            killed.update(which)
            if results(folder) != whole:
                sys.exit(f"{folder} differs from the training that was not interrupted")
            print(f"run {runs}: {len(which)} kills, the same to the bit", flush=True)
    told = ", ".join(f"{name} {count}" for name, count in sorted(killed.items()))
    print(f"{ranks} rank(s), {runs} runs: {killed.total()} kills ({told}), {saves} inside a save")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
