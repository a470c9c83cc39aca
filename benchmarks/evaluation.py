"""What an evaluation keeps of a row: the growth of peak memory between a quarter of the rows and all of them.

    python benchmarks/evaluation.py [rows] [processes]

Three modalities of vectors as they are, in a space of 256, the first in every tenth row; a task of 10 classes
on all subsets, and retrieval from the first modality to the second. Each size is a launch of its own, and
each rank tells its peak.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusion import Component, DataError, Encoder, Encoding, Processor, Recipe, Registry, hookimpl
from fusion.build import build_model
from fusion.evaluation import retrieval
from fusion.evaluation.evaluate import evaluate
from fusion.picks import complete
from fusion.training import launch

NAMES = ("sight", "sound", "motion")
WIDTH, DIM, CLASSES = 256, 32, 10
EVERY = 10


class Given(Processor):
    def decode(self, raw: Any) -> Tensor:
        if not isinstance(raw, np.ndarray):
            raise DataError("an array is expected")
        return torch.from_numpy(raw)


class Same(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.dim, self.processor = DIM, Given()

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(x)


class Noise:
    """Rows of three vectors around that of a class."""

    def __init__(self, *, rows: int) -> None:
        self.rows = rows
        self.classes = np.random.default_rng(0).standard_normal((CLASSES, DIM)).astype(np.float32)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        noise = np.random.default_rng(index).standard_normal((len(NAMES), DIM)).astype(np.float32)
        vectors = self.classes[index % CLASSES] + noise
        names = NAMES if index % EVERY == 0 else NAMES[1:]
        return {"label": index % CLASSES, **dict(zip(names, vectors, strict=False))}


@hookimpl
def fusion_encoders() -> Iterable[Component]:
    return [Component(f"same-{name}", Same, name) for name in NAMES]


@hookimpl
def fusion_sources() -> Iterable[Component]:
    return [Component("noise", Noise)]


def child(rows: int) -> None:
    """Evaluate, and print the peak memory of this rank in bytes, and the seconds."""
    torch.set_num_threads(1)
    plugin = ModuleType("noise")
    plugin.fusion_encoders, plugin.fusion_sources = fusion_encoders, fusion_sources  # type: ignore[attr-defined]
    registry = Registry({"noise": plugin})
    retrieval.BUDGET = 2**20  # what a chunk of similarities takes does not grow with the rows
    recipe = Recipe(
        sources={"train": {"name": "noise", "rows": 100}},
        encoders={name: {"name": f"same-{name}"} for name in NAMES},
        width=WIDTH,
        objectives={"kind": {"name": "classify", "classes": CLASSES}},
        train={"steps": 1},
        evaluate={"sources": {"test": {"name": "noise", "rows": rows}}, "retrieval": [NAMES[:2]]},
    )
    recipe = complete(recipe, registry)
    accelerator = launch.launch(recipe.train)
    torch.manual_seed(0)
    model = build_model(recipe, registry).to(accelerator.device)
    began = time.perf_counter()
    found = evaluate(model, recipe, registry, accelerator, {}).metrics
    accelerator.wait_for_everyone()
    told = {
        "rank": accelerator.process_index,
        "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "seconds": time.perf_counter() - began,
        "recall": found.get("retrieval/sight->sound/recall@10"),
    }
    print(json.dumps(told), flush=True)


def launched(rows: int, processes: int) -> list[dict[str, Any]]:
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command += [__file__, "child", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return sorted(told, key=lambda one: int(one["rank"]))


def main(rows: int = 40_000, processes: int = 1) -> None:
    few, many = launched(rows // 4, processes), launched(rows, processes)
    once = (len(NAMES) - 1 + 1 / EVERY) * WIDTH * 4
    print(f"{rows} rows on {processes} processes, {many[0]['seconds']:.0f} s; recall@10 {many[0]['recall']}")
    for small, large in zip(few, many, strict=True):
        each = (large["bytes"] - small["bytes"]) / (rows - rows // 4)
        name = f"bytes kept of a row by rank {large['rank']}, against its vectors"
        print(f"{name} | {each:.0f} | {once:.0f} | {each / once:.2f} | 2")
        print(f"  {small['bytes'] / 2**20:.0f} MiB with a quarter, {large['bytes'] / 2**20:.0f} MiB with all")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(int(sys.argv[2]))
    else:
        main(*(int(argument) for argument in sys.argv[1:]))
