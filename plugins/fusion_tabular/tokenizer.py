"""Turn the cells of a row into tokens: a direction for each number, an embedding for each category."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Tokenizer(nn.Module):
    """The feature tokenizer of Gorishniy et al. (2021, section 3.3): b_j + x_j W_j, b_j + e_j of a category.

    A missing cell is b_j + m_j, where m_j is learned and begins as 0; so does the embedding of an unknown
    category, the first of its column. Weights are uniform in +-1 / sqrt(d), as the paper's code has them.
    """

    starts: Tensor  # (categorical columns,) where the embeddings of a column begin

    def __init__(self, numeric: int, categories: Sequence[int], dim: int) -> None:
        super().__init__()
        columns, bound = numeric + len(categories), dim**-0.5
        self.numeric = numeric
        sizes = torch.tensor([0, *(count + 1 for count in categories)])
        starts = sizes.cumsum(0)
        self.register_buffer("starts", starts[:-1], persistent=False)
        self.bias = nn.Parameter(torch.empty(columns, dim).uniform_(-bound, bound))
        self.missing = nn.Parameter(torch.zeros(columns, dim))
        if numeric:
            self.weight = nn.Parameter(torch.empty(numeric, dim).uniform_(-bound, bound))
        if categories:
            self.embedding = nn.Embedding(int(starts[-1]), dim)
            with torch.no_grad():
                self.embedding.weight.uniform_(-bound, bound)
                self.embedding.weight[self.starts] = 0.0

    def forward(
        self, x: Tensor | None, known: Tensor | None, ids: Tensor | None, named: Tensor | None
    ) -> Tensor:
        """Return tokens (n, columns, d), those of numbers first."""
        parts = []
        if x is not None and known is not None:
            value = x[..., None] * self.weight  # (n, numeric, d)
            parts.append(torch.where(known[..., None], value, self.missing[: self.numeric]))
        if ids is not None and named is not None:
            value = self.embedding(ids + self.starts)  # (n, categorical, d)
            parts.append(torch.where(named[..., None], value, self.missing[self.numeric :]))
        return torch.cat(parts, dim=1) + self.bias
