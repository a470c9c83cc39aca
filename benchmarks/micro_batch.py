"""What a batch in micro-batches takes beside the whole batch, in time and in memory.

    python benchmarks/micro_batch.py [rounds]

48 pairs of texts of 64 bytes, 6 at once, through two transformers of 4 layers and 256 numbers, and InfoNCE:
forward and backward. Ours with the whole batch, as it is and with blocks that are computed again, and with
room for all graphs, for half of them and for none; as a peer, the cached loss of sentence-transformers beside
its uncached one, over the same transformer. Prints medians of seconds on the CPU, and of ratios to the whole
batch of either, measured in turns; and the peak memory of each in a process of its own, over what that holds
before the model is built. Goal: at most 1.25 times the whole batch.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from fusion_scratch.text import ScratchText
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fusion import Batch, Model
from fusion.data.collate import Collator
from fusion.data.order import Slots
from fusion.data.parts import together
from fusion.fusers.mean import Mean
from fusion.objectives.contrastive import Contrastive
from fusion.recompute import recompute
from fusion.training.memory import Graphs, peak, used
from fusion.training.micro import cached

ROWS, MICRO, LENGTH = 48, 6, 64
ROOM = {"all graphs kept": 1.0, "half of them": 0.5, "none kept": 0.0}
NAMES = ("question", "answer")
CPU = torch.device("cpu")


def tower() -> ScratchText:
    return ScratchText(max_length=LENGTH, dim=256, layers=4, heads=4)


def rows() -> list[dict[str, str]]:
    letters = np.random.default_rng(0).integers(97, 123, (ROWS, 2, LENGTH), np.uint8)
    return [{name: bytes(text).decode() for name, text in zip(NAMES, row, strict=True)} for row in letters]


def ours(room: float | None, again: bool = False) -> Callable[[], None]:
    """Return a step of ours; `room` is the share of the graphs that is kept, None the whole batch at once."""
    torch.manual_seed(0)
    towers = {name: tower() for name in NAMES}
    for part in towers.values() if again else ():
        recompute(part)
    losses = {"align": Contrastive(NAMES, 128)}
    origins = {"fuser": "mean", **{f"encoders.{name}": "scratch-text" for name in NAMES}}
    model = Model(towers, 128, Mean(NAMES, 128), losses, {"align": 1.0}, origins)
    collator = Collator(model.processors, model.targets())
    samples = [collator.decode(row) for row in rows()]
    if room is None:
        whole = collator.stack(samples, Slots.unnumbered(ROWS))

        def plain() -> None:
            model.zero_grad()
            model(whole).total.backward()

        return plain
    starts = range(0, ROWS, MICRO)
    parts: list[Batch] = [
        collator.stack(samples[start : start + MICRO], Slots.unnumbered(MICRO)) for start in starts
    ]
    batch = together(parts)
    graphs = Graphs(model, 1)
    cached(model, batch, graphs)  # keeps one, and so knows what it holds
    graphs.room = room * len(parts) * graphs.largest

    def micro() -> None:
        model.zero_grad()
        cached(model, batch, graphs)

    return micro


class Sentences(nn.Module):
    """The same transformer, as a module of sentence-transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = tower()
        self.out = nn.Linear(256, 128)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return features | {"sentence_embedding": self.out(self.tower(features["input_ids"]).pooled)}


def peer(cached_loss: bool) -> Callable[[], None]:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import losses

    torch.manual_seed(0)
    model: Any = SentenceTransformer(modules=[Sentences()], device="cpu")
    processor = model[0].tower.processor
    features = [processor.collate([processor.decode(row[name]) for row in rows()])["ids"] for name in NAMES]
    if cached_loss:
        loss: Any = losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=MICRO)
    else:
        loss = losses.MultipleNegativesRankingLoss(model)
    model.train()

    def step() -> None:
        model.zero_grad()
        loss([{"input_ids": ids, "attention_mask": ids < 256} for ids in features], None).backward()

    return step


STEPS: dict[str, Callable[[], Callable[[], None]]] = {
    "whole batch": lambda: ours(None),
    "whole batch, blocks computed again": lambda: ours(None, again=True),
    **{name: lambda room=room: ours(room) for name, room in ROOM.items()},  # type: ignore[misc]
    "sentence-transformers, whole batch": lambda: peer(False),
    "sentence-transformers, cached": lambda: peer(True),
}


def memory(name: str) -> None:
    """Print the peak of a step in megabytes, over what there is before the model is built."""
    if name.startswith("sentence"):
        import sentence_transformers.sentence_transformer  # noqa: F401  which needs memory, too
    checkpoint(torch.sin, torch.ones(1), use_reentrant=False)  # which imports 150 MB on its first use
    before = used(CPU)
    step = STEPS[name]()
    with peak(CPU) as most:
        step()
    print((most[0] - before) / 1e6)


def main(rounds: int = 5) -> None:
    steps = {name: make() for name, make in STEPS.items()}
    for step in steps.values():
        step()
    turns: list[dict[str, float]] = []
    for number in range(rounds):
        turn = {}
        for name in list(steps)[:: 1 if number % 2 else -1]:  # nobody is always first
            began = time.process_time()
            steps[name]()
            turn[name] = time.process_time() - began
        turns.append(turn)
    print(f"{ROWS} pairs, {MICRO} at once, {rounds} rounds, {torch.get_num_threads()} threads")
    print(f"{'':36} {'s':>7} {'ratio':>7} {'MB':>7}")
    ratios = {}
    for name in steps:
        base = "sentence-transformers, whole batch" if name.startswith("sentence") else "whole batch"
        ratios[name] = median(turn[name] / turn[base] for turn in turns)
        told = subprocess.run(
            [sys.executable, __file__, "memory", name], capture_output=True, text=True, check=True
        )
        seconds = median(turn[name] for turn in turns)
        print(
            f"{name:36} {seconds:7.2f} {ratios[name]:7.2f} {float(told.stdout.split()[-1]):7.0f}", flush=True
        )
    print("what | ours | peer | ratio | goal")
    mine, theirs = ratios["half of them"], ratios["sentence-transformers, cached"]
    print(
        f"a step in micro-batches, half of the graphs kept, of one without | {mine:.2f} | {theirs:.2f} | "
        f"{mine / theirs:.2f} | 1.25 of the whole batch"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        memory(sys.argv[2])
    else:
        main(*(int(argument) for argument in sys.argv[1:]))
