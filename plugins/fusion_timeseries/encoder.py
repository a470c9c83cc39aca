"""The encoder `patch-tst`: patches of every channel of a time series, and a transformer over them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from fusion_scratch.text import Layer
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fusion import DataError, Encoder, Encoding, Processor, Signal, decode
from fusion_timeseries.patches import cut, normalise, seen
from fusion_timeseries.reading import read


@dataclass(frozen=True)
class SeriesProcessor(Processor):
    """Reads series of so many channels; keeps their first `max_length` points."""

    channels: int
    max_length: int

    def decode(self, raw: object) -> NDArray[np.float32]:
        series = read(raw)
        if series.shape[1] != self.channels:
            raise DataError(
                f"a series of {series.shape[1]} channels; those of the training have {self.channels}"
            )
        kept = series[: self.max_length]
        if np.isnan(kept).all():
            raise DataError(f"none of the first {self.max_length} points is known")
        return kept

    def collate(self, samples: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        """Return x (n, t, channels), 0 where a point is missing or padding, and which points are known."""
        rows = [torch.from_numpy(sample) for sample in samples]
        x = pad_sequence(rows, batch_first=True, padding_value=torch.nan)
        lengths = torch.tensor([len(sample) for sample in samples])
        return {"x": x.nan_to_num(0.0), "known": ~x.isnan(), "length": lengths}

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        return {"x": Signal(-math.inf, math.inf, real=inputs["known"])}

    def count_tokens(self, sample: NDArray[np.float32]) -> int:
        return len(sample)


class PatchTST(Encoder):
    """Encodes series (t,) or (t, channels) of up to `max_length` points, after PatchTST (Nie et al. 2023).

    Each channel is brought to its own scale, so neither level nor size of a series is seen, and cut into
    patches of `patch` points, `stride` apart; one transformer goes over the patches of every channel alone.
    A token is a patch of a channel; the vector is a linear map of the mean of each channel. LayerNorm stands
    where the paper has BatchNorm, by which a row would depend on others. Points that are NaN have the mean of
    their channel; patches without a point, and channels, are left out.

    `channels` is what the series of the training have, unless it is given.
    """

    def __init__(
        self,
        *,
        channels: Annotated[int | None, Field(ge=1)] = None,
        patch: Annotated[int, Field(ge=1)] = 16,
        stride: Annotated[int, Field(ge=1)] = 8,
        dim: int = 64,
        layers: Annotated[int, Field(ge=1)] = 2,
        heads: Annotated[int, Field(ge=1)] = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        max_length: Annotated[int, Field(ge=1)] = 512,
    ) -> None:
        super().__init__()
        if channels is None:
            raise ValueError("channels is fitted to the rows of a training, and none could be read")
        if stride > patch or dim % heads:
            raise ValueError(
                f"stride ({stride}) must be at most patch ({patch}), and dim ({dim}) be divisible by heads "
                f"({heads})"
            )
        self.dim, self.patch, self.stride = dim, patch, stride
        self.processor = SeriesProcessor(channels, max_length)
        self.project = nn.Linear(patch, dim)
        longest = 1 + max(0, -(-(max_length - patch) // stride))
        self.places = nn.Parameter(torch.randn(longest, dim) * 0.02)
        self.layers = nn.ModuleList(Layer(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.mix = nn.Linear(channels * dim, dim)

    @classmethod
    def fit(cls, samples: Iterable[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the number of channels, that of the first series that can be read."""
        if options["channels"] is not None:
            return {}
        first = next(decode.readable(samples, read), None)
        return {} if first is None else {"channels": first.shape[1]}

    def forward(self, x: Tensor, known: Tensor, length: Tensor) -> Encoding:
        """Encode series x (n, t, channels), `length` (n,) points long, of which some are `known`."""
        patches = cut(normalise(x, known), self.patch, self.stride)  # (n, channels, patches, size)
        real = seen(known, length, self.patch, self.stride)  # (n, channels, patches)
        n, channels, count, _ = patches.shape
        hidden = (self.project(patches) + self.places[:count]).flatten(0, 1)
        mask = real.flatten(0, 1)  # (n * channels, patches)
        for layer in self.layers:
            hidden = layer(hidden, mask | ~mask.any(1, keepdim=True))  # attention over nothing is NaN
        tokens = self.norm(hidden).unflatten(0, (n, channels))
        total = (tokens * real[..., None]).sum(2)  # (n, channels, d)
        mean = total / real.sum(2, keepdim=True).clamp(min=1)
        return Encoding(self.mix(mean.flatten(1)), tokens.flatten(1, 2), real.flatten(1))
