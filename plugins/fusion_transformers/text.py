"""The encoder `hf-text`: BERT, RoBERTa, ModernBERT, MiniLM, E5, the text towers of CLIP, SigLIP, CLAP."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fusion import DataError, Encoder, Encoding, Processor, decode
from fusion.buckets import overhead, pack, plan, restore, unpack
from fusion_transformers.configuration import describe
from fusion_transformers.loading import class_of, load
from fusion_transformers.pooling import POOLINGS, read_pooling, write_pooling
from fusion_transformers.tokenizing import byte_tokenizer, tokenizer_of
from fusion_transformers.towers import TEXT, UNKNOWN, tower_of
from fusion_transformers.unused import freeze_unused

LONGEST = 512  # tokens, of models that read more, unless the recipe says so
Pooling = Literal["auto", "output", "cls", "mean", "last"]


@dataclass(frozen=True)
class TextProcessor(Processor):
    """Turns texts into tokens with the model's own tokenizer, in buckets of similar length."""

    tokenizer: PreTrainedTokenizerBase
    prefix: str
    max_length: int
    padding: int  # the number of the token that fills up
    overhead: int  # of a bucket, in tokens
    length: int | None  # all texts are filled up to this, where the model was trained so
    takes = ("text",)

    def decode(self, raw: object) -> list[int]:
        text = self.prefix + decode.text(raw)
        ids: list[int] = self.tokenizer(text, truncation=True, max_length=self.max_length)["input_ids"]
        if not ids:
            raise DataError(f"the tokenizer makes no token of the text {text[:50]!r}")
        return ids

    def collate(self, samples: Sequence[list[int]]) -> dict[str, Tensor]:
        lengths = [len(ids) for ids in samples]
        buckets = plan([self.length or length for length in lengths], self.overhead)
        return pack(buckets, [self._stack([samples[row] for row in bucket]) for bucket in buckets])

    def count_tokens(self, sample: list[int]) -> int:
        return self.length or len(sample)

    def pieces(self, sample: list[int]) -> list[str]:
        return [self.tokenizer.decode([token]) for token in sample]

    def _stack(self, samples: Sequence[list[int]]) -> dict[str, Tensor]:
        lengths = torch.tensor([len(ids) for ids in samples])
        rows = [torch.tensor(ids) for ids in samples]
        if self.length is not None:
            rows[0] = F.pad(rows[0], (0, self.length - len(rows[0])), value=self.padding)
        ids = pad_sequence(rows, batch_first=True, padding_value=self.padding)  # (n, t)
        return {"ids": ids, "mask": torch.arange(ids.shape[1]) < lengths[:, None]}


class HfText(Encoder):
    """Encodes texts with a text model of transformers.

    `model` is a folder, an id of the hub, or `config:` and a folder, an id or a type of model for random
    weights; a type takes `settings`, and where there is no tokenizer a token is a byte. `pooling` says which
    vector stands for a text: the model's own (`output`), the first token (`cls`), the mean of all, or the
    `last`; `auto` is what the model was trained for where that is known, else the mean. `prefix` is put
    before every text, such as "query: " for E5. `max_length` counts tokens, by default all that the model can
    read up to 512. `remote_code` runs the model's own code, of one repository at one commit.
    """

    processor: TextProcessor

    def __init__(
        self,
        assets: Path | None = None,
        *,
        model: str,
        pooling: Pooling = "auto",
        max_length: Annotated[int, Field(ge=1)] | None = None,
        prefix: str = "",
        revision: str | None = None,
        settings: dict[str, Any] | None = None,
        remote_code: str | None = None,
    ) -> None:
        super().__init__()
        described = describe(assets, model, revision, settings, remote_code)
        self.tower = tower_of(described.config, TEXT)
        config = self.tower.own(described.config)
        kind = class_of(described, self.tower, config, "input_ids")
        tokenizer = tokenizer_of(described)
        if tokenizer is None:
            tokenizer = byte_tokenizer(config)
        folder = None if described.repository is None else described.repository.folder
        self.pooling = read_pooling(folder) or self.tower.pooling if pooling == "auto" else pooling
        own = self.pooling == "output"
        self.model, self.origin = load(described, kind, self.tower, config, own)
        self.dim = self.tower.dim(config, own)
        room = _room(self.model)
        length = _length(max_length, room, tokenizer)
        padding = tokenizer.pad_token_id
        self.processor = TextProcessor(
            tokenizer,
            prefix,
            length,
            0 if padding is None else padding,
            overhead(),
            room if self.tower.full else None,
        )
        if self.tower is UNKNOWN:
            freeze_unused(self, "text")

    def forward(self, order: Tensor, **buckets: Tensor) -> Encoding:
        """Encode the buckets ids_0 (n, t), mask_0 (n, t), ids_1 ...; `order` (n,) undoes the buckets."""
        return restore(order, [self._encode(**bucket) for bucket in unpack(buckets)], self.tokens_read)

    def _encode(self, ids: Tensor, mask: Tensor) -> Encoding:
        output = self.model(input_ids=ids, attention_mask=None if self.tower.full else mask.long())
        own = self.pooling == "output"
        tokens = self.tower.tokens(self.model, output, own)
        pooled = output[self.tower.output] if own else POOLINGS[self.pooling](tokens, mask)
        return Encoding(pooled, tokens, mask)

    def save_assets(self, folder: Path) -> None:
        self.model.config.save_pretrained(folder)
        self.processor.tokenizer.save_pretrained(folder)
        write_pooling(folder, self.pooling)


def _room(model: PreTrainedModel) -> int | None:
    """Return how many tokens a model has positions for; None where it has no such limit."""
    limit: int | None = getattr(model.config, "max_position_embeddings", None)
    for name, module in model.named_modules():
        places = name.rpartition(".")[2] == "position_embeddings" and isinstance(module, nn.Embedding)
        if limit and places and module.padding_idx is not None:  # RoBERTa counts on from the padding's number
            return limit - module.padding_idx - 1
    return limit


def _length(max_length: int | None, room: int | None, tokenizer: PreTrainedTokenizerBase) -> int:
    if max_length is None:
        return int(min(tokenizer.model_max_length, LONGEST, *([room] if room else [])))
    if room and max_length > room:
        raise ValueError(f"max_length is {max_length}; the model has positions for {room} tokens")
    return max_length
