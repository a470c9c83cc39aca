"""Turn texts into the tokens of an open_clip model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import snapshot_download
from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer
from torch import Tensor

from fusion import Processor, decode
from fusion.buckets import overhead, pack, plan
from fusion_openclip.checkpoint import Tokenizer

FILES = ["*.json", "*.txt", "*.model"]  # of a tokenizer, whatever its kind
CHARACTERS = 100  # to a token, at most; what comes later would be cut off after all the work


@dataclass(frozen=True)
class TextProcessor(Processor):
    """open_clip's tokenizer, which cuts off what is longer than `context` tokens and pads the rest."""

    tokenizer: SimpleTokenizer | HFTokenizer
    context: int
    pad: int
    closed: bool  # whether the token that ends a text is the padding's, as SigLIP has it
    trim: bool  # whether the tower sees nothing of padding, so that a text need not be filled up to `context`
    overhead: int  # of a bucket, in tokens
    takes = ("text",)

    @classmethod
    def of(cls, config: Mapping[str, Any], source: Tokenizer | None, trim: bool) -> Self:
        """Return the processor for a text_cfg, with the tokenizer of CLIP where no other is given."""
        context = config.get("context_length", DEFAULT_CONTEXT_LENGTH)
        options = {"context_length": context} | (config.get("tokenizer_kwargs") or {})
        options.pop("reduction_mask", None)  # drops tokens of long texts at random
        if source is None:
            tokenizer = SimpleTokenizer(**options)
            return cls(tokenizer, context, pad=0, closed=False, trim=trim, overhead=overhead())
        options["trust_remote_code"] = False  # whatever the configuration of a stranger's model says
        try:
            tokenizer = HFTokenizer(_folder(source), tokenizer_mode=config.get("tokenizer_mode"), **options)
        except Exception as error:  # OSError where it is not found, ValueError where it is no tokenizer
            at = f" --revision {source.revision}" if source.revision else ""
            raise ValueError(
                f"cannot load the tokenizer {source.place}; fetch it with `hf download {source.place}{at}` "
                "where there is a network, or give a folder with the model and its tokenizer files"
            ) from error
        pad, end = tokenizer.tokenizer.pad_token_id, tokenizer.tokenizer.eos_token_id
        if pad is None:
            raise ValueError(f"the tokenizer {source.place} has no token for padding")
        return cls(tokenizer, context, pad, closed=pad == end, trim=trim, overhead=overhead())

    def decode(self, raw: object) -> Tensor:
        """Return the ids (context,) of a text, padded."""
        ids: Tensor = self.tokenizer(decode.text(raw)[: CHARACTERS * self.context])
        return ids[0]

    def collate(self, samples: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return ids (n, t) and the length (n,) of each text, in tokens, in buckets of similar length."""
        buckets = plan([self.count_tokens(ids) for ids in samples], self.overhead)
        return pack(buckets, [self._stack([samples[row] for row in bucket]) for bucket in buckets])

    def count_tokens(self, sample: Tensor) -> int:
        return int(self._length(sample)) if self.trim else self.context

    def pieces(self, sample: Tensor) -> list[str]:
        return [self.tokenizer.decode([token]) for token in sample[: int(self._length(sample))].tolist()]

    def _stack(self, samples: Sequence[Tensor]) -> dict[str, Tensor]:
        ids = torch.stack(list(samples))
        length = self._length(ids)
        return {"ids": ids[:, : int(length.max())] if self.trim else ids, "length": length}

    def _length(self, ids: Tensor) -> Tensor:
        """Return how many of the last dimension of ids (..., context) are text."""
        places = torch.arange(1, self.context + 1)
        # up to the last that is not padding: CLIP's id of padding is also that of a "!" inside a word
        length = torch.where(ids != self.pad, places, 0).amax(-1)
        return (length + int(self.closed)).clamp(1, self.context)

    def save(self, folder: Path) -> None:
        """Write the tokenizer, unless it is the one that open_clip brings along."""
        if isinstance(self.tokenizer, HFTokenizer):
            self.tokenizer.save_pretrained(str(folder))


def _folder(source: Tokenizer) -> str:
    """Return the folder of a tokenizer; by name, transformers finds none offline that has no config.json."""
    if Path(source.place).is_dir():
        return source.place
    return snapshot_download(source.place, revision=source.revision, allow_patterns=FILES)
