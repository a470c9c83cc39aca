"""Every modality in one space: what fusers and objectives see, and the projection that leads there."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from fusion.encoder import Encoding
from fusion.peek import surely


class Embeddings(NamedTuple):
    """b rows in the shared width w; the dicts are in recipe order.

    Absent slots hold zeros, and nothing may depend on what they hold: read them through `visible`.
    `tokens` and `mask` have the modalities whose encoder gives tokens and of which the batch has a row.
    """

    pooled: dict[str, Tensor]  # (b, w) fp32, unit length where present
    present: dict[str, Tensor]  # (b,) bool
    tokens: dict[str, Tensor]  # (b, t, w)
    mask: dict[str, Tensor]  # (b, t) bool, True where a token is real and its row present
    content: dict[str, Tensor]  # (b,) long: equal where two rows hold the same sample, 0 where unknown
    source: Tensor  # (b,) long

    def visible(self, modality: str) -> Tensor:
        """Return a modality's pooled vectors with exact zeros where it is absent, (b, w)."""
        pooled, present = self.pooled[modality], self.present[modality]
        if surely(present):
            return pooled
        return pooled.masked_fill(~present.unsqueeze(-1), 0.0)

    def of_rows(self, rows: slice) -> "Embeddings":
        """Return some of the rows."""
        pooled, present, tokens, mask, content = (
            {name: part[rows] for name, part in parts.items()} for parts in self[:5]
        )
        return Embeddings(pooled, present, tokens, mask, content, self.source[rows])

    def show(self, shown: dict[str, Tensor]) -> "Embeddings":
        """Hide every modality from the rows for which `shown`, (b,) bool each, is False."""
        return self._replace(
            present={name: present & shown[name] for name, present in self.present.items()},
            mask={name: mask & shown[name].unsqueeze(-1) for name, mask in self.mask.items()},
        )


class Align(nn.Module):
    """Projects an encoder's width to the shared one; pooled vectors land on the unit sphere."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, width, bias=False)

    def forward(self, encoding: Encoding) -> Encoding:
        pooled = self.project(self.norm(encoding.pooled))  # (n, w)
        tokens = None if encoding.tokens is None else self.project(self.norm(encoding.tokens))  # (n, t, w)
        return Encoding(F.normalize(pooled.float(), dim=-1), tokens, encoding.mask)
