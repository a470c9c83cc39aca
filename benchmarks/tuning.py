"""What a step of training costs in each way of tuning, beside full fine-tuning of the same encoder.

    python benchmarks/tuning.py [rounds]

A BERT of 6 layers of 384 with random weights, 32 texts of about 60 tokens; forward, backward, AdamW. Prints
the median milliseconds, the median ratio to `full`, measured in turns, and how many parameters learn.
"""

import sys
import time
from statistics import median

import torch
from fusion_transformers.text import HfText

from fusion import Encoder, Registry, Tuning

MODES = ("full", "lora", "bitfit", "frozen")
SETTINGS = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 12}
TEXTS = [" ".join(["a photo of a dog"] * 4)] * 32


def build(mode: str, registry: Registry) -> Encoder:
    torch.manual_seed(0)
    encoder = HfText(model="config:bert", settings=SETTINGS, pooling="mean")
    tuning: Tuning = registry.find("tuning", mode).component.resolve()()
    tuning.prepare(encoder)
    return encoder.train()


class Trainer:
    """An encoder, a head, and their optimiser."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.head = encoder, torch.nn.Linear(encoder.dim, 1)
        self.learning = [part for part in encoder.parameters() if part.requires_grad]
        self.adamw = torch.optim.AdamW([*self.learning, *self.head.parameters()], fused=True)
        processor = encoder.processor
        self.inputs = processor.collate([processor.decode(text) for text in TEXTS])

    def seconds(self) -> float:
        began = time.perf_counter()
        self.adamw.zero_grad()
        self.head(self.encoder(**self.inputs).pooled).square().mean().backward()
        self.adamw.step()
        return time.perf_counter() - began


def main(rounds: int = 7) -> None:
    registry = Registry()
    trainers = {mode: Trainer(build(mode, registry)) for mode in MODES}
    for trainer in trainers.values():
        trainer.seconds()  # makes the state of the optimiser
    turns = [{mode: trainer.seconds() for mode, trainer in trainers.items()} for _ in range(rounds)]
    print(f"{rounds} rounds, {torch.get_num_threads()} threads")
    print(f"{'tuning':10} {'ms':>8} {'ratio':>7} {'learning':>12}")
    for mode, trainer in trainers.items():
        ms = 1000 * median(turn[mode] for turn in turns)
        ratio = median(turn[mode] / turn["full"] for turn in turns)
        learning = sum(part.numel() for part in trainer.learning)
        print(f"{mode:10} {ms:8.1f} {ratio:7.3f} {learning:12,}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
