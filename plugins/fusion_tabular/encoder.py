"""The encoder `ft-transformer`: a token for every column of a table, and a transformer over them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from fusion import Encoder, Encoding, Processor
from fusion_tabular.block import Block
from fusion_tabular.columns import MISSING, Cells, describe, read
from fusion_tabular.tokenizer import Tokenizer


@dataclass(frozen=True)
class TableProcessor(Processor):
    """Reads a mapping from columns to cells; other columns than those of the training are left alone."""

    takes = ("record",)

    numeric: dict[str, tuple[float, float]] = field(default_factory=dict)
    categories: dict[str, list[str]] = field(default_factory=dict)

    def decode(self, raw: object) -> Cells:
        return read(raw, self.numeric, self.categories)

    def collate(self, samples: Sequence[Cells]) -> dict[str, Tensor]:
        """Return numbers, 0 where they are missing, and ids, each with what is there, (n, columns) each."""
        inputs = {}
        if self.numeric:
            x = torch.tensor([sample.numbers for sample in samples], dtype=torch.float32)
            inputs |= {"x": x.nan_to_num(0.0), "known": ~x.isnan()}
        if self.categories:
            ids = torch.tensor([sample.ids for sample in samples])
            inputs |= {"ids": ids.clamp(min=0), "named": ids != MISSING}
        return inputs


class FTTransformer(Encoder):
    """Encodes rows of a table with an FT-Transformer (Gorishniy et al. 2021, section 3.3).

    A row is a mapping such as {"age": 38, "port": "Cherbourg"}. A token is a column; the vector is that of
    the CLS token. Cells that are missing (None, NaN, "") have a token of their column that is learned, and so
    have words that the training did not see, which it learns from words that it saw once.

    `numeric` gives each column of numbers its mean and standard deviation, `categories` each other column
    its words. What of both is None is fitted to the rows of the training: columns of words are categories,
    and so are those that `words` names, such as numbers that stand for kinds.
    """

    def __init__(
        self,
        *,
        numeric: dict[str, tuple[float, Annotated[float, Field(gt=0)]]] | None = None,
        categories: dict[str, Annotated[list[str], Field(min_length=1)]] | None = None,
        words: list[str] | None = None,
        dim: int = 64,
        layers: Annotated[int, Field(ge=1)] = 3,
        heads: Annotated[int, Field(ge=1)] = 8,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    ) -> None:
        super().__init__()
        numeric, categories = numeric or {}, categories or {}
        if not numeric and not categories:
            raise ValueError("columns are fitted to the rows of a training, and none could be read")
        if twice := numeric.keys() & categories.keys():
            raise ValueError(f"{', '.join(sorted(twice))} cannot be both numbers and categories")
        if dim % heads:
            raise ValueError(f"dim ({dim}) must be divisible by heads ({heads})")
        self.dim = dim
        self.processor = TableProcessor(numeric, categories)
        self.tokenizer = Tokenizer(len(numeric), [len(known) for known in categories.values()], dim)
        self.cls = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.blocks = nn.ModuleList(Block(dim, heads, dropout, first=not place) for place in range(layers))
        self.norm = nn.LayerNorm(dim)

    @classmethod
    def fit(cls, samples: Iterable[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns that rows have, with the scale of numbers and the words of categories."""
        if options["numeric"] is not None and options["categories"] is not None:
            return {}
        numeric, categories = describe(samples, set(options["words"] or ()))
        given = {*(options["numeric"] or ()), *(options["categories"] or ())}
        return {
            "numeric": {name: [*scale] for name, scale in numeric.items() if name not in given},
            "categories": {name: known for name, known in categories.items() if name not in given},
        }

    def forward(
        self,
        x: Tensor | None = None,
        known: Tensor | None = None,
        ids: Tensor | None = None,
        named: Tensor | None = None,
    ) -> Encoding:
        """Encode numbers x and ids, (n, columns) each; `known` and `named` are False where one is missing."""
        tokens = self.tokenizer(x, known, ids, named)  # (n, columns, d)
        hidden = torch.cat([self.cls.expand(tokens.shape[0], 1, -1), tokens], dim=1)
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        return Encoding(hidden[:, 0], hidden[:, 1:])
