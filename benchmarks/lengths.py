"""What a step of a text tower takes where texts are of mixed lengths, or absent from half of the rows.

    python benchmarks/lengths.py [rounds]

Forward and backward of the text tower of CLIP ViT-B-32, random weights, on 32 texts of 2 to 60 words: in
buckets of similar length, beside one batch padded to its longest; and on rows of which every second has a
text, beside rows that all have one. Pairs are measured one after the other, in turns.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch
from fusion_openclip.text import OpenClipText

from fusion.data.collate import Collator
from fusion.data.order import Slots

ROWS = 32
WORDS = ("a", "photo", "of", "dog", "the", "grass", "running", "small", "red", "house")


def step(encoder: OpenClipText, rows: Sequence[Mapping[str, Any]], overhead: int | None = None) -> float:
    """Return the seconds of a step; on a CPU those of this process, whatever else keeps the machine busy."""
    processor = encoder.processor
    if overhead is not None:
        processor = replace(processor, overhead=overhead)
    collator = Collator({"text": processor}, {})
    batch = collator.stack([collator.decode(row) for row in rows], Slots.unnumbered(len(rows)))
    device = next(encoder.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in batch.inputs["text"].items()}
    clock = time.perf_counter if torch.accelerator.is_available() else time.process_time
    began = clock()
    encoder(**inputs).pooled.square().sum().backward()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return clock() - began


def compare(name: str, goal: float, pair: Sequence[Callable[[], float]], rounds: int) -> None:
    """Print how the first of a pair does beside the second."""
    pairs = []
    for number in range(rounds + 1):  # the first is a warm-up
        order = (0, 1) if number % 2 else (1, 0)
        found = {place: pair[place]() for place in order}
        pairs.append((found[0], found[1]))
    mine, theirs = (1000 * median(column) for column in zip(*pairs[1:], strict=True))
    ratio = median(first / second for first, second in pairs[1:])
    print(f"{name} | {mine:.0f} ms | {theirs:.0f} ms | {ratio:.2f} | {goal}", flush=True)


def main(rounds: int = 3) -> None:
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(2.6, 0.6, ROWS), 2, 60).astype(int)
    mixed = [{"text": " ".join(rng.choice(WORDS, length))} for length in lengths]
    half: list[dict[str, Any]] = [row if number % 2 else {} for number, row in enumerate(mixed)]
    full = [row if number % 2 else mixed[number + 1] for number, row in enumerate(mixed)]
    torch.manual_seed(0)
    encoder = OpenClipText(model="ViT-B-32", pretrained=None)
    if torch.accelerator.is_available():
        encoder.to(torch.accelerator.current_accelerator())
    print(f"{rounds} rounds of {ROWS} rows, {torch.get_num_threads()} threads")
    whole = 10**9  # no second bucket is worth this
    mixed_pair = [lambda: step(encoder, mixed), lambda: step(encoder, mixed, whole)]
    compare("buckets, against padding", 0.8, mixed_pair, rounds)
    half_pair = [lambda: step(encoder, half, whole), lambda: step(encoder, full, whole)]
    compare("half of the texts absent, against none", 0.55, half_pair, rounds)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
