"""The same two towers trained by fusion, by open_clip's own loop and by sentence-transformers' trainer.

    python benchmarks/trainers.py [steps] [rounds] [batch]

An image and a text tower of open_clip with random weights (on a GPU those of ViT-B-32), on the same batches
of pictures from memory, with CLIP's loss and the optimiser that each of them has by default; and a bare loop
with fused AdamW, the shortest that does the work. Texts fill the context, as open_clip pads them to it.
Each in a process of its own, in turns, from the end of the first step to that of the last, without
checkpoints. Memory comes in pages of 2 MB where fusion asks for them: in its own process, and in that of the
bare loop, which is there to tell what the loop adds; not in those of others, who do not ask.
"""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import clock
import numpy as np
import open_clip
import torch
from datasets import Dataset
from open_clip_train.train import train_one_epoch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from table import in_turns, row
from torch import Tensor, nn
from transformers import TrainerCallback

from fusion import Component, Recipe, Registry, hookimpl
from fusion.build import build_model
from fusion.data.loader import Steps, load
from fusion.training.steps import training_steps

SMALL = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": 96, "layers": 6, "width": 256, "head_width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 256, "heads": 4, "layers": 6},
}
GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
TOWERS: dict[str, Any] = open_clip.get_model_config("ViT-B-32") if GPU else SMALL
SIZE, CONTEXT = TOWERS["vision_cfg"]["image_size"], TOWERS["text_cfg"]["context_length"]
WORKERS = 14 if GPU else 0
Pairs = Sequence[tuple[Tensor, Tensor]]


class Pictures:
    """Random pictures and texts of as many words as the context takes."""

    def __len__(self) -> int:
        return 100_000

    def __getitem__(self, index: int) -> Mapping[str, object]:
        rng = np.random.default_rng(index)
        words = rng.choice(["dog", "cat", "sun", "rain", "tree", "car"], CONTEXT)
        return {"image": rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8), "text": " ".join(words)}


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("pictures", Pictures)]


def wait() -> float:
    """Return the time when all that was asked of the device is done."""
    if GPU:
        torch.cuda.synchronize()
    return time.monotonic()


def bare(model: nn.Module, pairs: Pairs, batch: int) -> float:
    loss = open_clip.ClipLoss()
    adamw = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    began = 0.0
    for number, (images, ids) in enumerate(pairs):
        loss(**model(images.to(DEVICE, non_blocking=True), ids.to(DEVICE, non_blocking=True))).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()
        if number == 0:
            began = wait()
    return wait() - began


class _Loader:
    """What open_clip asks of a loader; it remembers when the second batch was asked for."""

    def __init__(self, pairs: Pairs, batch: int) -> None:
        self.pairs, self.began = pairs, 0.0
        self.num_batches, self.num_samples = len(pairs), len(pairs) * batch
        self.dataloader = self

    def set_epoch(self, epoch: int) -> None:
        pass

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for number, pair in enumerate(self.pairs):
            yield pair
            if number == 0:
                self.began = wait()


def open_clips(model: nn.Module, pairs: Pairs, batch: int) -> float:
    args = Namespace(
        device=DEVICE, precision="fp32", distill=False, accum_freq=1, skip_scheduler=True, horovod=False,
        grad_clip_norm=1.0, rank=0, local_rank=0, log_local=False, world_size=1, batch_size=batch,
        log_every_n_steps=10, wandb=False, tensorboard=False,
    )  # fmt: skip
    loader = _Loader(pairs, batch)
    adamw = torch.optim.AdamW(model.parameters(), lr=1e-3)  # as open_clip_train.main makes it
    train_one_epoch(model, {"train": loader}, open_clip.ClipLoss(), 0, adamw, None, None, None, args)
    return wait() - loader.began


class _Towers(nn.Module):
    """Both towers as one module of sentence-transformers."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip
        self.config = None

    def forward(self, features: dict[str, Tensor], **ignored: Any) -> dict[str, Tensor]:
        if "pixel_values" in features:
            vectors = self.clip.encode_image(features["pixel_values"])
        else:
            vectors = self.clip.encode_text(features["input_ids"])
        return {**features, "sentence_embedding": vectors}


class _Times(TrainerCallback):
    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **ignored: Any) -> None:
        if not self.times or state.global_step == state.max_steps:
            self.times.append(wait())


def sentence_transformers(model: nn.Module, pairs: Pairs, batch: int) -> float:
    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        images, ids = pairs[rows[0]["image"] // batch]
        return {"image_pixel_values": images, "text_input_ids": ids}

    collate.valid_label_columns = []  # type: ignore[attr-defined]
    towers = SentenceTransformer(modules=[_Towers(model)], device=DEVICE)
    numbers = list(range(len(pairs) * batch))
    times = _Times()
    with TemporaryDirectory() as folder:
        arguments = Arguments(
            folder, per_device_train_batch_size=batch, num_train_epochs=1, learning_rate=1e-3, report_to=[],
            save_strategy="no", logging_steps=10, disable_tqdm=True, use_cpu=not GPU,
            dataloader_num_workers=WORKERS, train_sampling_strategy="sequential",
        )  # fmt: skip
        SentenceTransformerTrainer(
            towers, arguments, Dataset.from_dict({"image": numbers, "text": numbers}), data_collator=collate,
            loss=MultipleNegativesRankingLoss(towers), callbacks=[times],
        ).train()  # fmt: skip
    return times.times[-1] - times.times[0]


def measure(trainer: str, steps: int, batch: int) -> float:
    """Return the seconds of all steps but the first, by one of the four; a short training comes before."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "benchmark.json"
        place.write_text(json.dumps(TOWERS), "utf-8")
        options = {"model": str(place), "pretrained": False}
        recipe = Recipe(
            name="trainers",
            sources={"pictures": {"name": "pictures"}},
            encoders={
                "image": {"name": "openclip-image"} | options,
                "text": {"name": "openclip-text"} | options,
            },
            objectives={"bind": {"name": "contrastive", "same": None}},
            train={"steps": steps, "batch": batch, "checkpoint_every": steps, "workers": WORKERS},
            width=256,
        )
        plugins = {"pictures": sys.modules[__name__]}
        registry = Registry(plugins)
        batches = training_steps(recipe, build_model(recipe, registry), registry)

        def once(steps: int) -> float:
            if trainer == "fusion":
                train = recipe.train.model_copy(update={"steps": steps, "checkpoint_every": steps})
                return clock.seconds(recipe.model_copy(update={"train": train}), plugins)
            clip = open_clip.CLIP(
                TOWERS["embed_dim"], TOWERS["vision_cfg"], TOWERS["text_cfg"], output_dict=True
            ).to(DEVICE)
            loops = {"bare": bare, "open_clip": open_clips, "sentence-transformers": sentence_transformers}
            return loops[trainer](clip, _Collated(batches, steps), batch)

        once(4)
        return once(steps)


def alone(trainer: str, steps: int, batch: int) -> float:
    """Return the milliseconds of a step, measured in a process of its own."""
    own = {"THP_MEM_ALLOC_ENABLE": "1" if trainer in ("fusion", "bare") else "0"}
    command = [sys.executable, __file__, str(steps), "1", str(batch), trainer]
    printed = subprocess.run(command, env=os.environ | own, stdout=subprocess.PIPE, text=True, check=True)
    return 1e3 * float(printed.stdout.splitlines()[-1]) / (steps - 1)


def main(steps: int = 40, rounds: int = 5, batch: int = 16) -> None:
    trainers = ("fusion", "bare", "open_clip", "sentence-transformers")
    columns = in_turns(rounds, *(partial(alone, trainer, steps, batch) for trainer in trainers))
    fused, shortest, clip, sentences = columns
    row(f"step of two towers, batch {batch}, a bare fused loop", fused, shortest, "ms")
    row(f"step of two towers, batch {batch}, open_clip", fused, clip, "ms", 0.85)
    row(f"step of two towers, batch {batch}, sentence-transformers", fused, sentences, "ms", 1.0)


class _Collated(Sequence[tuple[Tensor, Tensor]]):
    """The batches as our loader collates them, made anew whenever they are asked for."""

    def __init__(self, steps: Steps, count: int) -> None:
        self.steps, self.count = steps, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: Any) -> Any:
        return self._pair(self.steps[number].batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for loaded in load(self.steps, range(self.count), WORKERS):
            yield self._pair(loaded.batch)

    @staticmethod
    def _pair(batch: Any) -> tuple[Tensor, Tensor]:
        text = batch.inputs["text"]  # all of one length, in one bucket
        return batch.inputs["image"]["x"], text["ids_0"][text["order"]]


if __name__ == "__main__":
    if len(sys.argv) == 5:
        print(measure(sys.argv[4], int(sys.argv[1]), int(sys.argv[3])))
    else:
        main(*(int(argument) for argument in sys.argv[1:]))
