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
        rows = embeddings.source.shape[0]
        vectors = [self.summary.expand(rows, 1, -1)]
        hidden = [torch.zeros(rows, 1, dtype=torch.bool, device=self.summary.device)]
        for name in self.modalities:
            part = sequence(embeddings, name)
            vectors.append(part.vectors + self.kind[name])
            hidden.append(part.hidden)
        x, mask = torch.cat(vectors, dim=1), torch.cat(hidden, dim=1)  # (b, t, w), (b, t)
        for layer in self.blocks:
            x = layer(x, src_key_padding_mask=mask)
        return self.norm(x[:, 0])  # type: ignore[no-any-return]
