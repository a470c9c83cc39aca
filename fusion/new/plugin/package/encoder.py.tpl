"""The encoder `$kebab-net`: a small net on every instant, averaged over the real ones."""

from collections.abc import Sequence

import numpy as np
import torch
from fusion import DataError, Encoder, Encoding, Processor
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

CHANNELS = 3


def read(raw: object) -> NDArray[np.float32]:
    """Return a sample (t, 3). Raises DataError for anything else: the row is then skipped and counted."""
    if not isinstance(raw, np.ndarray) or raw.ndim != 2 or raw.shape[1] != CHANNELS or not len(raw):
        raise DataError(f"$name expected as an array (t, {CHANNELS}), not {getattr(raw, 'shape', raw)}")
    return raw.astype(np.float32)


class ${camel}Processor(Processor):
    """Reads one sample; pads many with zeros to the longest of them."""

    def decode(self, raw: object) -> NDArray[np.float32]:
        return read(raw)

    def collate(self, samples: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        x = pad_sequence([torch.from_numpy(sample) for sample in samples], batch_first=True)  # (n, t, 3)
        return {"x": x, "length": torch.tensor([len(sample) for sample in samples])}


class ${camel}Net(Encoder):
    """Encodes samples of any length; `dim` is the width of what it gives."""

    def __init__(self, *, dim: int = 64) -> None:
        super().__init__()
        self.dim = dim
        self.processor = ${camel}Processor()
        self.net = nn.Sequential(nn.Linear(CHANNELS, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        """Encode x (n, t, 3), of which the first `length` (n,) instants are real."""
        real = torch.arange(x.shape[1], device=x.device) < length[:, None]  # (n, t), False in padding
        tokens = self.net(x)  # (n, t, d)
        pooled = (tokens * real[..., None]).sum(1) / length[:, None]
        return Encoding(pooled, tokens, real)
