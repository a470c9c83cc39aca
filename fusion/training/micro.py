"""The gradient of a batch that is larger than memory: micro-batch by micro-batch, and exact."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor

from fusion.batch import Batch
from fusion.embeddings import Embeddings
from fusion.errors import PluginError
from fusion.losses import Losses, Rows
from fusion.model import Model
from fusion.recompute import unmoved
from fusion.training.memory import Graphs

REPEATED = 1e-2  # by which vectors may differ that are computed twice: some kernels add up in any order


def cached(
    model: Model,
    batch: Batch,
    graphs: Graphs,
    *,
    gather: Callable[[Rows], Rows] | None = None,
    backward: Callable[[Tensor], Any] = Tensor.backward,
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    compare: bool = False,
) -> Losses:
    """Return the losses of a batch in micro-batches and add their gradients to the parameters.

    Gradient caching (Gao et al. 2021, GradCache): all rows are encoded and fused, the losses of the whole
    batch give the gradient of these vectors, and each micro-batch takes its part of that back to the
    parameters. The graphs of the first micro-batches are kept, as many as `graphs` has room for; the others
    are encoded once more, with the same random numbers, so that no bit depends on how many were kept. With
    `compare`, which waits for the device, PluginError is raised for what then gives other vectors.
    """
    *seeds, last = torch.randint(2**32, (len(batch.parts) + 1,)).tolist()
    kept: list[list[Tensor] | None] = []
    vectors = []
    graphs.clear()
    for part, seed in zip(batch.parts, seeds, strict=True):
        keep = graphs.fits()
        with torch.set_grad_enabled(keep), graphs.weigh() if keep else nullcontext():
            encoded = _encode(model, part, seed, autocast)
        kept.append(encoded if keep else None)
        vectors.append([vector.detach() for vector in encoded])
    leaves = [torch.cat(some).requires_grad_() for some in zip(*vectors, strict=True)]

    *pooled, fused = leaves
    named = dict(zip(batch.present, pooled, strict=True))
    embeddings = Embeddings(named, batch.present, {}, {}, batch.content, batch.source)
    rows = Rows(embeddings, fused, batch.targets)
    set_seed(last)
    losses = model.losses(rows if gather is None else gather(rows))
    backward(losses.total)

    start = 0
    for part, seed in zip(batch.parts, seeds, strict=True):
        graph = kept.pop(0)
        if graph is None:
            with unmoved(model):
                graph = _encode(model, part, seed, autocast)
        stop = start + len(part.row)
        if compare:
            _expect_repeated(model, graph, [leaf[start:stop] for leaf in leaves])
        pairs = [
            (vector, leaf.grad[start:stop])
            for vector, leaf in zip(graph, leaves, strict=True)
            if vector.requires_grad and leaf.grad is not None
        ]
        if pairs:
            torch.autograd.backward([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        start = stop
    return losses


def _encode(
    model: Model, part: Batch, seed: int, autocast: Callable[[], AbstractContextManager[None]]
) -> list[Tensor]:
    """Return the vectors of each modality and the fused ones, (b, w) each."""
    set_seed(seed)
    with autocast():  # one for each: it keeps the weights that it has cast, and whether they have a gradient
        rows = model.rows(part)
    return [*rows.embeddings.pooled.values(), rows.fused]


def _expect_repeated(model: Model, again: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    """Raise PluginError for the first part of the model that is another function when it is called again."""
    parts = [*(f"encoders.{name}" for name in model.modalities), "fuser"]
    for part, now, then in zip(parts, again, before, strict=True):
        if not torch.allclose(now, then, rtol=REPEATED, atol=REPEATED, equal_nan=True):
            raise PluginError(
                f"{part} ({model.origins[part]}) gave other vectors when the same rows were encoded again, "
                "as train.micro_batch does: it must draw random numbers from torch, and keep nothing from "
                "one call for the next"
            )
