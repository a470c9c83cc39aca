"""What a step of training costs in each way of tuning, beside full fine-tuning of the same encoder.

    python benchmarks/tuning.py [rounds]

A BERT of 6 layers of 384 with random weights, 32 texts of about 60 tokens; forward, backward, AdamW. Prints
the median milliseconds, the median ratio to `full`, measured in turns, and how many parameters learn.
"""

import sys
import time

import torch
from fusion_transformers.text import HfText
from table import row

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
    for mode, trainer in trainers.items():
        learning = sum(part.numel() for part in trainer.learning)
        some, full = ([1000 * turn[name] for turn in turns] for name in (mode, "full"))
        row(f"step with {mode}, {learning:,} parameters, beside full", some, full, "ms")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
