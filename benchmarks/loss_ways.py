"""What `losses.py` measures: our losses, plain ones, those of open_clip and sentence-transformers."""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion import Embeddings, Registry

WIDTH = 512
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
CHUNK = 2048
Loss = Callable[[Tensor, Tensor], Tensor]


def leaf(value: float) -> Tensor:
    return torch.full((1,), value, device=DEVICE, requires_grad=True)


@functools.cache
def labels(rows: int) -> Tensor:
    """Return what comes with a batch, as `about` does, and is not made for its loss."""
    return torch.arange(rows, device=DEVICE)


@functools.cache
def about(rows: int) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Return which modalities are present, what they hold, and the source."""
    label = labels(rows)
    present = torch.ones_like(label, dtype=torch.bool)
    return {"image": present, "text": present}, {"image": 0 * label, "text": label + 1}, 0 * label


def ours(name: str) -> Loss:
    loss = Registry().find("objective", name).component.resolve()(("image", "text"), WIDTH).to(DEVICE)

    def run(x: Tensor, y: Tensor) -> Tensor:
        label = labels(len(x))
        present, content, source = about(len(x))
        rows = Embeddings({"image": x, "text": y}, present, {}, {}, content, source)
        found: Tensor = loss(rows, x, {"label": label})
        return found

    return run


def plain_contrastive() -> Loss:
    log_scale = leaf(-math.log(0.07))

    def run(x: Tensor, y: Tensor) -> Tensor:
        logits = log_scale.exp() * (x @ y.T)
        own = torch.arange(len(x), device=DEVICE)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    return run


def labelled_contrastive() -> Loss:
    """Rows of one label are positives: Khosla et al. 2020, eq. 2."""
    log_scale = leaf(-math.log(0.07))

    def run(x: Tensor, y: Tensor) -> Tensor:
        logits = log_scale.exp() * (x @ y.T)
        label = labels(len(x))
        same = (label == label[:, None]).float()
        share = same / same.sum(1)
        return -sum((share * side.log_softmax(1)).sum() for side in (logits, logits.T)) / (2 * len(x))

    return run


def labelled_sigmoid() -> Loss:
    log_scale, bias = leaf(math.log(10)), leaf(-10.0)

    def run(x: Tensor, y: Tensor) -> Tensor:
        label = labels(len(x))
        sign = 2.0 * (label == label[:, None]) - 1
        return -F.logsigmoid(sign * (log_scale.exp() * (x @ y.T) + bias)).sum() / len(x)

    return run


def whole_contrastive() -> Loss:
    """What ours computes: rows without a modality are left out, and those of one content belong together."""
    log_scale = leaf(-math.log(0.07))

    def run(x: Tensor, y: Tensor) -> Tensor:
        rows, same = taking_part(len(x))
        logits = (log_scale.exp() * (x @ y.T)).masked_fill(~(rows & rows[:, None]), -1e30)
        share = same / same.sum(1).clamp(min=1)
        return -sum((share * side.log_softmax(1)).sum() for side in (logits, logits.T)) / (2 * rows.sum())

    return run


def whole_sigmoid() -> Loss:
    """What ours computes, as in `whole_contrastive`."""
    log_scale, bias = leaf(math.log(10)), leaf(-10.0)

    def run(x: Tensor, y: Tensor) -> Tensor:
        rows, same = taking_part(len(x))
        found = F.logsigmoid((2 * same - 1) * (log_scale.exp() * (x @ y.T) + bias))
        return -(found * (rows & rows[:, None])).sum() / rows.sum()

    return run


def taking_part(rows: int) -> tuple[Tensor, Tensor]:
    """Return which rows have both modalities, (b,) bool, and which of them belong together, (b, b) fp32."""
    present, content, _ = about(rows)
    label = labels(rows)
    taking = present["image"] & present["text"]
    own = torch.eye(rows, device=DEVICE, dtype=torch.bool)
    known = [(label, label != -100), *((numbers, numbers != 0) for numbers in content.values())]
    same = functools.reduce(torch.logical_or, ((key == key[:, None]) & there for key, there in known), own)
    return taking, (same & taking & taking[:, None]).float()


def plain_sigmoid() -> Loss:
    log_scale, bias = leaf(math.log(10)), leaf(-10.0)

    def run(x: Tensor, y: Tensor) -> Tensor:
        logits = log_scale.exp() * (x @ y.T) + bias
        sign = 2 * torch.eye(len(x), device=DEVICE) - 1
        return -F.logsigmoid(sign * logits).sum() / len(x)

    return run


def open_clip_contrastive() -> Loss:
    from open_clip.loss import ClipLoss

    loss, scale = ClipLoss(), leaf(1 / 0.07)
    return lambda x, y: loss(x, y, scale)


def open_clip_sigmoid() -> Loss:
    from open_clip.loss import SigLipLoss

    loss, scale, bias = SigLipLoss(), leaf(10.0), leaf(-10.0)
    return lambda x, y: loss(x, y, scale, bias)


def open_clip_chunks() -> Loss:
    """SigLipLoss chunk by chunk, as its ranks do, each with a backward: it has no option for it."""
    from open_clip.loss import SigLipLoss

    loss, scale, bias = SigLipLoss(), leaf(10.0), leaf(-10.0)

    def run(x: Tensor, y: Tensor) -> Tensor:
        total = x.new_zeros(())
        for i, ours in enumerate(x.split(CHUNK)):
            for j, theirs in enumerate(y.split(CHUNK)):
                part = loss._loss(ours, theirs, scale, bias, negative_only=i != j) * len(ours) / len(x)
                part.backward()
                total += part.detach()
        return total

    return run


def sentence_transformers(*directions: str, cached: bool = False) -> Loss:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import losses

    model = SentenceTransformer(modules=[torch.nn.Identity()], device=str(DEVICE))
    options = {"scale": 1 / 0.07, "directions": directions, "partition_mode": "per_direction"}
    own = torch.empty(0)
    if not cached:
        loss = losses.MultipleNegativesRankingLoss(model, **options)
        return lambda x, y: loss.compute_loss_from_embeddings([x, y], own)
    held = losses.CachedMultipleNegativesRankingLoss(model, **options)
    return lambda x, y: held.calculate_loss([[x], [y]], with_backward=True)


BOTH = ("query_to_doc", "doc_to_query")
WAYS: dict[str, Callable[[], Loss]] = {
    "contrastive": lambda: ours("contrastive"),
    "sigmoid": lambda: ours("sigmoid"),
    "plain contrastive": plain_contrastive,
    "plain sigmoid": plain_sigmoid,
    "plain, with labels contrastive": labelled_contrastive,
    "plain, with labels sigmoid": labelled_sigmoid,
    "plain, all that ours reads contrastive": whole_contrastive,
    "plain, all that ours reads sigmoid": whole_sigmoid,
    "open_clip ClipLoss": open_clip_contrastive,
    "open_clip SigLipLoss": open_clip_sigmoid,
    f"open_clip SigLipLoss in chunks of {CHUNK}": open_clip_chunks,
    "sentence-transformers MNRL, both directions": lambda: sentence_transformers(*BOTH),
    "sentence-transformers CachedMNRL, both": lambda: sentence_transformers(*BOTH, cached=True),
    "sentence-transformers CachedMNRL, one direction": lambda: sentence_transformers(BOTH[0], cached=True),
}


def step(loss: Loss, x: Tensor, y: Tensor) -> float:
    """Return the loss, after its backward."""
    x.grad = y.grad = None
    value = loss(x, y)
    if value.requires_grad:
        value.backward()
    return value.item()
