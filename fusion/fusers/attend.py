"""Fuse by attention: a summary token reads everything that is present."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusion.embeddings import Embeddings
from fusion.fuser import Fuser
from fusion.fusers.attention import block, sequence


class Attend(Fuser):
    """Self-attention (Vaswani et al. 2017, eq. 1) over a summary token and all that is present.

    Every modality brings its pooled vector and its tokens, marked by a learned modality embedding as in
    ViLT (Kim et al. 2021, eq. 1). The fused vector is the normalised summary token. Positions are the
    encoder's business: tokens of one modality are a set here.
    """

    reads_tokens = True

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        heads: PositiveInt = 4,
        layers: PositiveInt = 2,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(modalities, width)
        self.summary = nn.Parameter(torch.randn(width) * width**-0.5)  # as long as a pooled vector
        self.kind = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(width) * width**-0.5) for name in self.modalities}
        )
        self.blocks = nn.ModuleList(block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, embeddings: Embeddings) -> Tensor:
        x, mask, _ = self._read(embeddings)
        for layer in self.blocks:
            x = layer(x, src_key_padding_mask=mask)
        return self.norm(x[:, 0])  # type: ignore[no-any-return]

    def shares(self, embeddings: Embeddings) -> Tensor:
        """Return the summary token's attention by modality, (b, m), less what it pays to itself.

        Over all layers by attention rollout (Abnar and Zuidema 2020): the product of 0.5 A + 0.5 I,
        with A the mean over heads.
        """
        x, mask, lengths = self._read(embeddings)
        paid = torch.zeros(x.shape[:2], device=x.device)
        paid[:, 0] = 1.0
        seen = []
        for layer in self.blocks:
            assert isinstance(layer, nn.TransformerEncoderLayer)
            normed = layer.norm1(x)
            _, attention = layer.self_attn(normed, normed, normed, key_padding_mask=mask)  # (b, t, t)
            seen.append(attention)
            x = layer(x, src_key_padding_mask=mask)
        for attention in reversed(seen):  # from the output to the input
            paid = (paid + (paid.unsqueeze(1) @ attention).squeeze(1)) / 2
        parts = torch.stack(
            [part.sum(-1) for part in torch.split(paid[:, 1:], lengths, dim=1)], dim=-1
        )  # (b, m)
        return parts / parts.sum(-1, keepdim=True).clamp(min=torch.finfo(parts.dtype).tiny)

    def _read(self, embeddings: Embeddings) -> tuple[Tensor, Tensor, list[int]]:
        """Return the summary token and all others, (b, t, w), what is hidden, and each modality's length."""
        rows = embeddings.source.shape[0]
        parts = [sequence(embeddings, name) for name in self.modalities]
        marked = [part.vectors + self.kind[name] for name, part in zip(self.modalities, parts, strict=True)]
        shown = torch.zeros(rows, 1, dtype=torch.bool, device=self.summary.device)
        x = torch.cat([self.summary.expand(rows, 1, -1), *marked], dim=1)
        mask = torch.cat([shown, *(part.hidden for part in parts)], dim=1)  # (b, t)
        return x, mask, [part.hidden.shape[1] for part in parts]
