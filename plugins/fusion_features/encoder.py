"""The encoder `features`: a small transformer over features that were computed before."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from fusion_scratch.text import Layer
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fusion import DataError, Encoder, Encoding, Processor, decode
from fusion_features.reading import read
from fusion_features.scale import scale

LARGEST = 1e15  # deviations: the square has to fit into fp32


@dataclass(frozen=True)
class FeatureProcessor(Processor):
    """Brings each feature to mean 0 and deviation 1; keeps the first `max_length` moments."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    max_length: int

    def decode(self, raw: object) -> NDArray[np.float32]:
        features = read(raw)[: self.max_length]
        if features.shape[1] != len(self.mean):
            raise DataError(
                f"{features.shape[1]} features in a vector; those of the training had {len(self.mean)}"
            )
        scaled = (features - np.array(self.mean)) / np.array(self.std)
        farthest = np.abs(scaled).max()
        if farthest > LARGEST:
            raise DataError(f"a feature is {farthest:.0e} deviations from the mean of the training")
        return scaled.astype(np.float32)

    def collate(self, samples: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        x = pad_sequence([torch.from_numpy(sample) for sample in samples], batch_first=True)
        return {"x": x, "length": torch.tensor([len(sample) for sample in samples])}

    def count_tokens(self, sample: NDArray[np.float32]) -> int:
        return len(sample)


class Features(Encoder):
    """Encodes features (d,), or (t, d) of up to `max_length` moments; a token is a moment.

    It may stand under any modality, several times in a recipe. `mean` and `std` of each of the d features
    are fitted to the rows of the training, unless they are given; [0, ...] and [1, ...] leave features as
    they are. `layers` transformer layers follow a linear map; with 0 the moments do not see each other,
    and a vector goes through an MLP.
    """

    def __init__(
        self,
        *,
        mean: list[float] | None = None,
        std: list[Annotated[float, Field(gt=0)]] | None = None,
        dim: int = 128,
        layers: Annotated[int, Field(ge=0)] = 1,
        heads: Annotated[int, Field(ge=1)] = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        max_length: Annotated[int, Field(ge=1)] = 512,
    ) -> None:
        super().__init__()
        if not mean or not std:
            raise ValueError("mean and std are fitted to the rows of a training, and none could be read")
        if len(mean) != len(std) or dim % heads:
            raise ValueError(
                f"mean ({len(mean)} numbers) and std ({len(std)}) must have the same length, and dim ({dim}) "
                f"be divisible by heads ({heads})"
            )
        self.dim = dim
        self.processor = FeatureProcessor(tuple(mean), tuple(std), max_length)
        self.first = nn.Sequential(
            nn.Linear(len(mean), dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, dim)
        )
        self.places = nn.Parameter(torch.randn(max_length, dim) * 0.02)
        self.layers = nn.ModuleList(Layer(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    @classmethod
    def fit(cls, samples: Iterable[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the mean and the deviation of each feature; of samples that do not fit the first nothing."""
        if options["mean"] is not None and options["std"] is not None:
            return {}
        found = scale(_alike(samples))
        return {} if found is None else found._asdict()

    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        """Encode features x (n, t, d), of which the first `length` (n,) moments are real."""
        mask = torch.arange(x.shape[1], device=x.device) < length[:, None]  # (n, t)
        hidden = self.first(x) + self.places[: x.shape[1]]
        for layer in self.layers:
            hidden = layer(hidden, mask)
        tokens = self.norm(hidden)
        real = mask[..., None]
        return Encoding((tokens * real).sum(1) / real.sum(1), tokens, mask)


def _alike(samples: Iterable[Any]) -> Iterator[NDArray[np.float32]]:
    """Yield the samples that can be read and are as wide as the first of them."""
    width = None
    for features in decode.readable(samples, read):
        width = width or features.shape[1]
        if features.shape[1] == width:
            yield features
