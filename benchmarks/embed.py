"""What `fusion embed` takes for texts of mixed lengths, beside their given order and sentence-transformers.

    python benchmarks/embed.py [texts] [rounds]

A BERT of MiniLM's size with random weights and a tokenizer of words, the same for all. The texts have 3 to
250 words, half of them less than 25. sentence-transformers encodes as it does by default; the given order is
batches of 32 as they come, padded to their longest. Ours includes reading the rows, the projection, the fuser
and the parquet file. Pairs are measured one after the other, in turns.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from fusion import Component, Recipe, Registry, hookimpl
from fusion.build import build_model
from fusion.evaluation.embed import embed
from fusion.picks import complete

WORDS = [f"w{number}" for number in range(2000)]
LONGEST = 256  # tokens


class Texts:
    """Texts of mixed lengths, a row each."""

    def __init__(self, *, rows: int) -> None:
        rng = np.random.default_rng(0)
        lengths = np.clip(rng.lognormal(3.2, 0.9, rows), 3, 250).astype(int)
        self.texts = [" ".join(rng.choice(WORDS, length)) for length in lengths]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"text": self.texts[index]}


def tower(folder: Path) -> None:
    """Write a text tower with random weights as transformers keeps it."""
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LONGEST, **special).save_pretrained(
        folder
    )
    sizes = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 12}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(vocabulary), **sizes)).save_pretrained(folder)


def seconds(call: Callable[[], object]) -> float:
    """Return what a call takes: on a CPU the time of this process, whatever else keeps the machine busy."""
    clock = time.perf_counter if torch.accelerator.is_available() else time.process_time
    began = clock()
    call()
    return clock() - began


def main(texts: int = 1000, rounds: int = 3) -> None:
    @hookimpl
    def fusion_sources() -> Iterable[Component]:
        return [Component("texts", Texts)]

    plugin = ModuleType("texts")
    plugin.fusion_sources = fusion_sources  # type: ignore[attr-defined]
    registry, accelerator = Registry({"texts": plugin}), Accelerator()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tower(folder / "tower")
        recipe = Recipe(
            sources={"all": {"name": "texts", "rows": texts}},
            encoders={"text": {"name": "hf-text", "model": str(folder / "tower"), "pooling": "mean"}},
            objectives={"kind": {"name": "classify", "classes": 2}},
            train={"steps": 1},
        )
        recipe = complete(recipe, registry)
        model = build_model(recipe, registry).to(accelerator.device).eval()
        peer = SentenceTransformer(
            modules=[Transformer(str(folder / "tower")), Pooling(384, "mean")],
            device=str(accelerator.device),
        )
        peer.max_seq_length = LONGEST
        every = Texts(rows=texts).texts
        encoder: Any = model.encoders["text"]
        read = encoder.processor

        def ours() -> None:
            embed(model, recipe, "all", folder / "all.parquet", registry, accelerator, weights="")

        def theirs(some: list[str] = every) -> Any:
            return peer.encode(some, show_progress_bar=False)

        @torch.no_grad()
        def given() -> torch.Tensor:
            pooled = []
            for start in range(0, texts, 32):
                rows = [torch.tensor(read.decode(text)) for text in every[start : start + 32]]
                ids = pad_sequence(rows, batch_first=True, padding_value=read.padding)
                mask = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
                inputs = {"order": torch.arange(len(rows)), "ids_0": ids, "mask_0": mask}
                pooled.append(encoder(**{k: v.to(accelerator.device) for k, v in inputs.items()}).pooled)
            return torch.cat(pooled)

        @torch.no_grad()
        def apart() -> float:
            inputs = read.collate([read.decode(text) for text in every[:32]])
            found = encoder(**{name: tensor.to(accelerator.device) for name, tensor in inputs.items()}).pooled
            return float(np.abs(found.cpu().numpy() - theirs(every[:32])).max())

        print(f"{texts} texts, {rounds} rounds, {torch.get_num_threads()} threads, {accelerator.device}")
        print(f"largest difference of a vector from sentence-transformers' {apart():.1e}")
        pairs = []
        for number in range(rounds):
            turn = [ours, theirs] if number % 2 else [theirs, ours]
            pairs.append(dict(zip(turn, map(seconds, turn), strict=True)))
            print(f"  {pairs[-1][ours]:.2f} s {pairs[-1][theirs]:.2f} s", flush=True)
        mine, peers = (median(pair[which] for pair in pairs) for which in (ours, theirs))
        ratio = median(pair[ours] / pair[theirs] for pair in pairs)
        print(f"embed against sentence-transformers | {mine:.2f} s | {peers:.2f} s | {ratio:.3f} | 0.952")
        first = seconds(given)
        print(f"embed against the given order | {mine:.2f} s | {first:.2f} s | {mine / first:.3f} | 0.333")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
