"""The encoder `scratch-text`: a small transformer over the bytes of a text."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fusion import Encoder, Encoding, Processor, decode

PAD = 256  # the id after those of the 256 bytes


@dataclass(frozen=True)
class TextProcessor(Processor):
    """Turns text into its first `max_length` UTF-8 bytes; pads to the longest text of the batch."""

    max_length: int
    takes = ("text",)

    def decode(self, raw: object) -> bytes:
        return decode.text(raw).encode()[: self.max_length]

    def collate(self, samples: Sequence[bytes]) -> dict[str, Tensor]:
        rows = [torch.tensor(list(sample)) for sample in samples]
        return {"ids": pad_sequence(rows, batch_first=True, padding_value=PAD)}

    def count_tokens(self, sample: bytes) -> int:
        return len(sample)

    def pieces(self, sample: bytes) -> list[str]:
        """Return a character for its first byte, and nothing for the others."""
        starts = [
            at for at, byte in enumerate(sample) if byte & 0xC0 != 0x80
        ]  # no byte that goes on in UTF-8
        shown = [""] * len(sample)
        for start, stop in zip(starts, [*starts[1:], len(sample)], strict=True):
            shown[start] = sample[start:stop].decode(errors="replace")
        return shown


class ScratchText(Encoder):
    """Encodes the first `max_length` bytes of a text in any script; a token is a byte."""

    def __init__(self, *, max_length: int = 64, dim: int = 128, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim ({dim}) must be divisible by heads ({heads})")
        self.dim = dim
        self.processor = TextProcessor(max_length)
        self.bytes = nn.Embedding(PAD + 1, dim)
        self.places = nn.Parameter(torch.randn(max_length, dim) * 0.02)
        self.layers = nn.ModuleList(Layer(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, ids: Tensor) -> Encoding:
        """Encode bytes ids (n, t), 0 to 255, padded with PAD."""
        mask = ids != PAD
        x = self.bytes(ids) + self.places[: ids.shape[1]]  # (n, t, d)
        for layer in self.layers:
            x = layer(x, mask)
        tokens = self.norm(x)
        real = mask[..., None]
        return Encoding((tokens * real).sum(1) / real.sum(1), tokens, mask)


class Layer(nn.Module):
    """Self-attention over the real tokens (n, t), then two linear maps, each added to its input (n, t, d).

    torch's own TransformerEncoderLayer takes another path in evaluation, which rounds differently.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.size = dim // heads  # of a head; how many there are follows from the weights
        self.attention_norm, self.mix_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mix = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        split = self.query_key_value(self.attention_norm(x)).unflatten(2, (3, -1, self.size))
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (n, heads, t, d / heads)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        x = x + self.drop(self.out(seen.transpose(1, 2).flatten(2)))
        return x + self.drop(self.mix(self.mix_norm(x)))
