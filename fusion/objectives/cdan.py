"""Classify, and let nobody tell the sources apart by what is predicted of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.objectives.classify import Classify
from fusion.objectives.discriminator import Discriminator
from fusion.objectives.domains import check_modality, rows_of

LARGEST = 4096  # of the products of features and probabilities; beyond it they are projected at random


class Cdan(Classify):
    """`classify` with conditional adversarial adaptation, CDAN (Long et al. 2018, eq. 3 and 4).

    The adversary of `adversarial` reads the products of the vectors (the fused ones, or those of `modality`)
    and the probabilities of the classes; with more than 4096 products, that many random ones (eq. 6).
    `entropy` lets rows count more of whose class the model is sure (CDAN+E, eq. 8). `strength` is the weight
    of the adversary beside the cross entropy. No gradient runs through the probabilities; in the authors'
    code one does through the weights, though not through the products.
    """

    of_vector: Tensor  # (w, products)
    of_class: Tensor  # (classes, products)

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        sources: Sequence[str],
        *,
        classes: Annotated[int, Field(ge=2)],
        target: str = "label",
        smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        modality: str | None = None,
        hidden: PositiveInt = 256,
        strength: NonNegativeFloat = 1.0,
        entropy: bool = True,
    ) -> None:
        super().__init__(modalities, width, classes=classes, target=target, smoothing=smoothing)
        self.modality = check_modality(modality, self.modalities)
        self.strength = strength
        self.entropy = entropy
        self.random = width * classes > LARGEST
        if self.random:
            random = torch.Generator().manual_seed(0)
            self.register_buffer("of_vector", torch.randn(width, LARGEST, generator=random))
            self.register_buffer("of_class", torch.randn(classes, LARGEST, generator=random))
        self.discriminator = Discriminator(min(width * classes, LARGEST), hidden, sources)

    def start_step(self, step: int, steps: int) -> None:
        self.discriminator.schedule(step, steps)

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        x, rows = rows_of(embeddings, fused, self.modality)
        probability = self.predict(fused).score.detach()  # (b, classes)
        sure = None
        if self.entropy:
            sure = 1 + (-torch.special.entr(probability).sum(dim=1)).exp()
        adversary: Tensor = self.discriminator(self._products(x, probability), embeddings.source, rows, sure)
        return super().forward(embeddings, fused, targets) + self.strength * adversary

    def _products(self, x: Tensor, probability: Tensor) -> Tensor:
        if self.random:
            return (x @ self.of_vector) * (probability @ self.of_class) / math.sqrt(LARGEST)
        return (x.unsqueeze(2) * probability.unsqueeze(1)).flatten(1)
