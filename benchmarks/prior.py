"""What a step of training costs with each prior, beside none.

    python benchmarks/prior.py [rounds]

A ViT-S/16 with 8 images of 224 pixels, and the three scratch encoders at their default with 32 rows: forward,
backward, fused AdamW, pull. Prints medians of the CPU's milliseconds, for a step and for the pull alone, and
the median ratio to a step without a prior, measured in turns. A step may cost 3 % more.
"""

import sys
import time
from statistics import median

import numpy as np
import torch
from fusion_scratch.audio import ScratchAudio
from fusion_scratch.image import ScratchImage
from fusion_scratch.text import ScratchText
from fusion_timm.image import TimmImage
from table import row
from torch import Tensor, nn

from fusion import Encoder, Pull
from fusion.training.anchors import Anchors

RNG = np.random.default_rng(0)
WORDS = "the digit seven as a voice says it in a quiet room"


def vit() -> list[tuple[Encoder, list[object]]]:
    images = [RNG.integers(0, 256, (224, 224, 3), np.uint8) for _ in range(8)]
    return [(TimmImage(model="vit_small_patch16_224", pretrained=False), images)]


def scratch() -> list[tuple[Encoder, list[object]]]:
    images = [RNG.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(32)]
    sounds = [(RNG.standard_normal(16000).astype(np.float32), 16000) for _ in range(32)]
    return [(ScratchImage(), images), (ScratchText(), [WORDS] * 32), (ScratchAudio(), sounds)]


MODELS = {"ViT-S/16": vit, "scratch": scratch}
PRIORS = {
    "none": lambda start: None,
    "l2": lambda start: Pull(0.05),
    "l2sp": lambda start: Pull(1.0, start),
    "ewc": lambda start: Pull(1e4 * start.square(), start),  # as good as any other numbers
}


class Trainer:
    """Encoders, their optimiser, and a prior."""

    def __init__(self, model: str, prior: str) -> None:
        torch.manual_seed(0)
        self.towers: list[tuple[Encoder, dict[str, Tensor]]] = []
        for encoder, samples in MODELS[model]():
            processor = encoder.processor
            self.towers.append((encoder, processor.collate([processor.decode(sample) for sample in samples])))
        named = dict(nn.ModuleList(encoder for encoder, _ in self.towers).named_parameters())
        self.adamw = torch.optim.AdamW(named.values(), lr=1e-4, fused=True)
        pulls = {name: PRIORS[prior](parameter.detach().clone()) for name, parameter in named.items()}
        self.anchors = Anchors(prior, named, {name: pull for name, pull in pulls.items() if pull})
        self.anchors.attach(self.adamw)
        self.size = sum(parameter.numel() for parameter in named.values())

    def seconds(self) -> float:
        began = time.process_time()
        self.adamw.zero_grad()
        sum(encoder(**inputs).pooled.square().mean() for encoder, inputs in self.towers).backward()
        self.adamw.step()
        return time.process_time() - began

    def pull(self) -> float:
        began = time.process_time()
        self.anchors.pull(self.adamw)
        return time.process_time() - began


def main(rounds: int = 15) -> None:
    print(f"{rounds} rounds, {torch.get_num_threads()} threads")
    for model in MODELS:
        trainers = {prior: Trainer(model, prior) for prior in PRIORS}
        for trainer in trainers.values():
            trainer.seconds()  # makes the state of the optimiser
        turns = []
        for number in range(rounds):
            order = list(trainers)[:: 1 if number % 2 else -1]  # nobody is always first
            turns.append({prior: trainers[prior].seconds() for prior in order})
        for prior, trainer in trainers.items():
            if prior == "none":
                continue
            pull = 1000 * median(trainer.pull() for _ in range(rounds))
            with_prior, without = ([1000 * turn[name] for turn in turns] for name in (prior, "none"))
            title = (
                f"step of {model} with {trainer.size:,} parameters and {prior}, of it {pull:.2f} ms to pull"
            )
            row(f"{title}, beside none", with_prior, without, "ms", 1.03)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
