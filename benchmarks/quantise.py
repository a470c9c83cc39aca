"""What integers give beside floats: size, time, distance of the vectors; and searching in few bits.

    python benchmarks/quantise.py [rounds]

Towers of the usual size with random weights, on one thread of the CPU; each pair is measured one after the
other, in turns, by the time of the thread. The peer is the same tower in fp32; of the last rows of the
towers it is torch's own dynamic quantization, and torch's kernel for weights of 4 bits, in bf16. A row says
how far the vectors are apart, relative to their length. Of searches it says how much is found of what an
exact one finds: among vectors of clusters, width 384, k = 10.
"""

import copy
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import timm
import torch
import torch.nn.functional as F
from table import in_turns, row
from torch import Tensor, nn
from transformers import BertConfig, BertModel, Wav2Vec2Config, Wav2Vec2Model

from fusion import Gallery
from fusion.compressions.int4 import Int4
from fusion.compressions.int8 import Int8

Tower = tuple[str, nn.Module, Callable[[int], Tensor], Callable[[Any], Tensor], tuple[int, ...]]


def towers() -> Iterator[Tower]:
    """Yield a name, a tower, its input for so many rows, how its vectors are read, and numbers of rows."""
    images, words = (
        (lambda rows: torch.randn(rows, 3, 224, 224)),
        (lambda rows: torch.randint(9000, (rows, 24))),
    )
    mean = lambda out: out.last_hidden_state.mean(1)  # noqa: E731
    yield (
        "ViT-S/16",
        timm.create_model("vit_small_patch16_224", num_classes=0),
        images,
        lambda out: out,
        (1, 8),
    )
    yield "ResNet-18", timm.create_model("resnet18", num_classes=0), images, lambda out: out, (1, 8)
    size: dict[str, int] = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}
    yield (
        "BERT of 6 layers, 24 tokens",
        BertModel(BertConfig(**size, num_hidden_layers=6)),
        words,
        mean,
        (1, 32),
    )
    sounds = Wav2Vec2Model(Wav2Vec2Config(**size, num_hidden_layers=6))
    yield "wav2vec 2.0 of 6 layers, 1 s", sounds, lambda rows: torch.randn(rows, 16000), mean, (1, 4)


def clock(module: nn.Module, x: Tensor) -> Callable[[], float]:
    def once() -> float:
        start = time.thread_time()
        module(x)
        return (time.thread_time() - start) * 1e3

    return once


def size(module: nn.Module) -> float:
    return sum(tensor.nbytes for tensor in module.state_dict().values()) / 2**20


def compare(rounds: int) -> None:
    for name, tower, inputs, read, numbers in towers():
        tower.eval()
        for compression in (Int8(), Int4()):
            made = copy.deepcopy(tower)
            compression.apply(made)  # type: ignore[arg-type]
            kind = type(compression).__name__.lower()
            row(f"{name}, MiB, {kind}", [size(made)], [size(tower)], "MiB", 1 / 3.5)
            x = inputs(max(numbers))
            expected, found = read(tower(x)), read(made(x))
            far = ((found - expected).norm(dim=1) / expected.norm(dim=1)).mean()
            for rows in numbers:
                some = inputs(rows)
                ours, floats = in_turns(rounds, clock(made, some), clock(tower, some))
                row(f"{name}, {rows} rows, {kind}; vectors differ by {far:.3f}", ours, floats, "ms", 1.0)


def beside_torch(rounds: int) -> None:
    """Compare with what torch has for the linear layers of a ViT-S/16."""
    tower = timm.create_model("vit_small_patch16_224", num_classes=0).eval()
    ours, theirs, x = copy.deepcopy(tower), copy.deepcopy(tower), torch.randn(1, 3, 224, 224)
    Int8().apply(ours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        theirs = torch.ao.quantization.quantize_dynamic(theirs, {nn.Linear})
        row(
            "ViT-S/16, 1 row, int8; quantize_dynamic",
            *in_turns(rounds, clock(ours, x), clock(theirs, x)),
            "ms",
        )
    far = (theirs(x) - tower(x)).norm() / tower(x).norm()
    print(f"  vectors of quantize_dynamic differ by {far:.3f}")
    layer = nn.Linear(384, 1536)
    Int4().apply(layer)  # type: ignore[arg-type]
    packed = torch._convert_weight_to_int4pack_for_cpu(torch.randint(16, (1536, 384), dtype=torch.int32), 2)
    scales = torch.rand(12, 1536, 2, dtype=torch.bfloat16)
    for rows in (1, 20, 197):
        some = torch.randn(rows, 384)

        def kernel(some: Tensor = some) -> float:
            start = time.thread_time()
            torch._weight_int4pack_mm_for_cpu(some.bfloat16(), packed, 32, scales)
            return (time.thread_time() - start) * 1e3

        row(
            f"384 to 1536, {rows} rows, int4; torch's kernel",
            *in_turns(10 * rounds, clock(layer, some), kernel),
            "ms",
        )


def search() -> None:
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(1000, 384, generator=random)
    place = torch.randint(1000, (100_200,), generator=random)
    vectors = F.normalize(centres[place] + torch.randn(len(place), 384, generator=random), dim=1)
    items, queries = vectors[:-200], vectors[-200:]
    plain = Gallery.of(items)
    exact = plain.search(queries, 10)
    for precision in ("float16", "int8", "binary"):
        kept = Gallery.of(items, precision)
        row(f"100k items, MiB, {precision}", [kept.codes.nbytes / 2**20], [items.nbytes / 2**20], "MiB")
        for times in (1, 4, 16):
            alone, again = (
                kept.search(queries, 10, oversample=times, vectors=given).recall(exact)
                for given in (None, items)
            )
            print(f"  {precision}, oversample {times}: {alone:.1%} by codes, {again:.1%} rescored by floats")
        timed = (searching(kept, queries), searching(plain, queries))
        row(f"100k items, 200 queries, {precision}", *in_turns(3, *timed), "ms")


def searching(gallery: Gallery, queries: Tensor) -> Callable[[], float]:
    def once() -> float:
        start = time.thread_time()
        gallery.search(queries, 10)
        return (time.thread_time() - start) * 1e3

    return once


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        compare(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
        beside_torch(7)
        search()
