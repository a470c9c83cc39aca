"""What a step of two towers takes on many GPUs, computed and not measured: python benchmarks/scale.py.

It prints the two tables of docs/scale.md. Parameters are counted in the towers of open_clip as fusion builds
them, without memory; the rest are the formulas of that page. GB are 10^9 bytes.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from fusion import Registry
from fusion.training.sharding import layers

MODELS = ("ViT-B-16", "ViT-L-14", "ViT-H-14")
GPUS = (8, 64)
BATCHES = (2**15, 2**18)
FP32 = 4


class Towers(NamedTuple):
    """How many parameters there are, and where FSDP2 gathers them."""

    parameters: int
    layer: int  # of the largest layer, which are gathered one at a time
    outside: int  # of lists of layers: gathered until the backward has come to its end
    width: int  # of the vectors


def count(model: str) -> Towers:
    """Count the parameters of the two towers of a model of open_clip, with random weights."""
    registry = Registry()
    with torch.device("meta"):
        builders = [registry.find("encoder", f"openclip-{kind}") for kind in ("image", "text")]
        towers = [offer.component.resolve()(model=model, pretrained=False) for offer in builders]
    found = [[_count(layer.parameters()) for layer in layers(tower)] for tower in towers]
    total = sum(_count(tower.parameters()) for tower in towers)
    return Towers(total, max(map(max, found)), total - sum(map(sum, found)), towers[0].dim)


def ddp_state(towers: Towers) -> float:
    """Weights, gradients, the buckets in which gradients are added up, and two moments of Adam."""
    return 5 * FP32 * towers.parameters


def fsdp_state(towers: Towers, n: int) -> float:
    """A part of weights, gradients and moments; and gathered: the layer, the next one, and its gradient."""
    gathered = 3 * FP32 * towers.layer + 2 * FP32 * towers.outside
    return 4 * FP32 * towers.parameters / n + gathered


def ddp_traffic(towers: Towers, n: int) -> float:
    """Adding up the gradients: each part is sent on once to be summed and once as the sum."""
    return 2 * (n - 1) / n * FP32 * towers.parameters


def fsdp_traffic(towers: Towers, n: int) -> float:
    """Gathering the weights in the forward and in the backward, and dividing the sum of the gradients."""
    return 3 * (n - 1) / n * FP32 * towers.parameters


def gathered_rows(b: int, width: int, modalities: int = 2) -> float:
    """The vectors of all modalities and the fused one, of all rows, in fp32."""
    return FP32 * b * width * (modalities + 1)


def gather_traffic(b: int, width: int, n: int, modalities: int = 2) -> float:
    """What a process receives of the rows of the others; it sends as much."""
    return (n - 1) / n * gathered_rows(b, width, modalities)


def gradient_traffic(b: int, width: int, n: int) -> float:
    """Adding up the gradients of both sides of one contrastive pair, where its tiles are divided."""
    return 2 * (n - 1) / n * 2 * FP32 * b * width


def ring_traffic(b: int, width: int, n: int) -> float:
    """Passing one side of a pair round, and the gradient of it, in place of gathering."""
    return 2 * (n - 1) / n * FP32 * b * width


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    columns = list(head)
    print("|", " | ".join(columns), "|\n|" + "---|" + "--:|" * (len(columns) - 1))
    for row in rows:
        print("|", " | ".join(row), "|")
    print()


def main() -> None:
    towers = {model: count(model) for model in MODELS}
    table(
        ("towers", "parameters", "GPUs", "state, DDP", "state, FSDP2", "traffic, DDP", "traffic, FSDP2"),
        (
            (model, f"{found.parameters / 1e6:.0f} M", str(n), *_gb(*figures))
            for model, found in towers.items()
            for n in GPUS
            for figures in [
                (ddp_state(found), fsdp_state(found, n), ddp_traffic(found, n), fsdp_traffic(found, n))
            ]
        ),
    )
    head = (
        "towers",
        "batch",
        "GPUs",
        "rows of a GPU",
        "all rows",
        "gather",
        "gradients",
        "ring",
        "b x b once",
    )
    table(
        head,
        (
            (model, f"{b // 1024}k", str(n), f"{b // n:,}", *_gb(*figures))
            for model, found in towers.items()
            for b in BATCHES
            for n in GPUS
            for w in [found.width]
            for figures in [
                (
                    gathered_rows(b, w),
                    gather_traffic(b, w, n),
                    gradient_traffic(b, w, n),
                    ring_traffic(b, w, n),
                    FP32 * b * b,
                )
            ]
        ),
    )


def _gb(*figures: float) -> list[str]:
    return [f"{figure / 1e9:.3g} GB" for figure in figures]


def _count(parameters: Iterable[torch.Tensor]) -> int:
    return sum(part.numel() for part in parameters)


if __name__ == "__main__":
    main()
