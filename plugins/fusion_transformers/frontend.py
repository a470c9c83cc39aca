"""The frontend: what one family of audio models makes of a sound, and which of its tokens are then real."""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

Waveform = NDArray[np.float32]


class Frontend(ABC):
    """Wraps the feature extractor of a model. Picklable and without weights: it runs in loader workers.

    `rate` is in Hz, `seconds` the longest sound that the model takes. A sound of fewer than `least` samples
    is filled up with silence, which then counts as real. `overhead` is what one more bucket costs, in the
    unit of what `extract` gives first, of which `per_token` make about a token; 0 where rows of different
    length cannot share a forward pass.
    """

    seconds: float = float("inf")
    least: int = 1
    overhead: int = 0
    per_token: int = 1

    def __init__(self, config: PretrainedConfig, extractor: Any) -> None:
        self.config, self.extractor = config, extractor
        self.rate: int = extractor.sampling_rate

    @classmethod
    def of(cls, config: PretrainedConfig, extractor: Any | None) -> Self:
        """Return the frontend for a model's extractor, or for the one that fits its configuration."""
        return cls(config, cls.default(config) if extractor is None else extractor)

    @classmethod
    @abstractmethod
    def default(cls, config: PretrainedConfig) -> Any:
        """Return a feature extractor that fits random weights of this configuration."""

    def extract(self, wave: Waveform) -> dict[str, Tensor]:
        """Return the inputs of the model for one sound; time comes first where rows differ in length.

        One sound at a time, since some extractors normalise, pad and draw by batch.
        """
        features = self.extractor(wave, sampling_rate=self.rate, return_tensors="pt")
        return {name: _single(tensor[0]) for name, tensor in features.items()}

    def run(self, model: PreTrainedModel, samples: Tensor, **features: Tensor) -> ModelOutput:
        """Call the model on the features of sounds of samples (n,)."""
        output: ModelOutput = model(**features)
        return output

    @abstractmethod
    def mask(self, model: PreTrainedModel, samples: Tensor, tokens: int) -> Tensor:
        """Return which tokens (n, tokens) are real in sounds of samples (n,)."""

    def freeze(self, model: PreTrainedModel) -> None:  # noqa: B027  # most models have none
        """Take out of training what only some sounds pass through."""


def first(count: Tensor, tokens: int) -> Tensor:
    """Return a mask (n, tokens) of the first count (n,)."""
    return torch.arange(tokens, device=count.device) < count[:, None]


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
