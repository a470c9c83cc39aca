"""Classify by distance to sentences that name the classes (Radford 2021)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from accelerate.utils import send_to_device
from torch import Tensor

from fusion.data.collate import Collator
from fusion.data.order import Slots
from fusion.model import Model

BATCH = 256
"""Sentences that are encoded at once: a thousand classes in eighty templates do not fit in memory."""
ROWS = 4_096
"""Rows that are compared with the classes at once."""


@torch.no_grad()
def prototypes(model: Model, modality: str, classes: Sequence[str], templates: Sequence[str]) -> Tensor:
    """Return one unit vector per class, the mean over the templates, (classes, w).

    Raises DataError for a class or a template that makes no sentence.
    """
    collator = Collator({modality: model.processors[modality]}, {})
    device = next(model.parameters()).device
    # not str.format: a class may be named "{x}"
    sentences = [form.replace("{}", name) for name in classes for form in templates]
    parts = []
    for start in range(0, len(sentences), BATCH):
        samples = [collator.decode({modality: sentence}) for sentence in sentences[start : start + BATCH]]
        batch = send_to_device(collator.stack(samples, Slots.unnumbered(len(samples))), device)
        parts.append(model.embed(batch).pooled[modality])
    vectors = torch.cat(parts)  # (classes * templates, w)
    return F.normalize(vectors.view(len(classes), len(templates), -1).mean(dim=1), dim=-1)


def accuracy(vectors: Tensor, labels: Tensor, classes: Tensor) -> float:
    """Return how often the nearest class is the label; `vectors` (r, w), `labels` (r,), `classes` (c, w)."""
    right = 0
    for start in range(0, len(vectors), ROWS):
        part = slice(start, start + ROWS)
        right += int(((vectors[part] @ classes.T).argmax(dim=1) == labels[part]).sum())
    return right / len(vectors)
