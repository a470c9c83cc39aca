"""What an encoder is: raw samples of one modality in, one vector per sample out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn


class Encoding(NamedTuple):
    """One modality, the n present rows only."""

    pooled: Tensor  # (n, d)
    tokens: Tensor | None = None  # (n, t, d)
    mask: Tensor | None = None  # (n, t) bool, True where a token is real; None: all are


class Processor(ABC):
    """Turns raw samples into tensors. Picklable and without weights: it runs in loader workers."""

    @abstractmethod
    def decode(self, raw: Any, rng: np.random.Generator | None) -> Any:
        """Return one sample, read from whatever form people have it in.

        `rng` is given in training, for augmentation, and None in evaluation, where the same input must
        give the same bits. Raises fusion.DataError when the sample cannot be read.
        """

    def collate(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Return the keyword arguments of the encoder's forward for n decoded samples, each (n, ...)."""
        return {"x": torch.stack([torch.as_tensor(sample) for sample in samples])}


class Encoder(nn.Module, ABC):
    """Encodes samples of one modality. Options are the keyword-only parameters of `__init__`.

    A subclass sets `dim`, the width d of its vectors, and `processor`.
    """

    dim: int
    processor: Processor

    @abstractmethod
    def forward(self, *args: Any, **inputs: Any) -> Encoding:
        """Encode what `processor.collate` returned. A batch must equal its rows one by one."""
