"""The encoder `openclip-text`: the text tower of any open_clip model."""

from pathlib import Path

import torch
from open_clip.hf_model import ClsPooler, HFTextEncoder
from open_clip.transformer import TextTransformer, text_global_pool
from torch import Tensor, nn

from fusion import Encoder, Encoding
from fusion.buckets import restore, unpack
from fusion_openclip.checkpoint import CONFIG, Checkpoint, read
from fusion_openclip.tokenizing import TextProcessor
from fusion_openclip.towers import NO_IMAGE, Towers, load, projection_last, save

_INSIDE = ("argmax", "eos", "first")  # poolings that read a token of the text


class OpenClipText(Encoder):
    """Encodes texts into the space of an open_clip model; vectors are not normalised.

    The options are those of `openclip-image`; with the same ones, both read the weights once. A text is
    cut off after as many tokens as the model reads, 77 for CLIP.

    A token is a token of the text, in the same space: what the tower's own projection makes of it.
    """

    def __init__(
        self,
        assets: Path | None = None,
        *,
        model: str,
        pretrained: bool | str | None = True,
        revision: str | None = None,
    ) -> None:
        super().__init__()
        towers = Towers(_saved(assets, model)) if assets else load(model, pretrained, revision)
        self.checkpoint = towers.checkpoint._replace(weights=None)
        self.origin = towers.checkpoint.origin
        self.tower = towers.take("text")
        self.tower.output_tokens = True
        self.dim = int(self.checkpoint.config["embed_dim"])
        native = isinstance(self.tower, TextTransformer)
        if native and self.tower.pool_type == "none" and self.tower.cls_emb is None:
            raise ValueError(f"the text tower of {self.checkpoint.name} has no vector for a whole text")
        self.causal = native and _sees_no_padding(self.tower)
        trim = self.causal or isinstance(self.tower, HFTextEncoder)
        config = self.checkpoint.config["text_cfg"]
        self.processor = TextProcessor.of(config, self.checkpoint.tokenizer, trim)

    def forward(self, order: Tensor, **buckets: Tensor) -> Encoding:
        """Encode the buckets ids_0 (n, t), length_0 (n,), ids_1 ...; `order` (n,) undoes the buckets.

        The first `length` tokens are text and the others padding.
        """
        return restore(order, [self._encode(**bucket) for bucket in unpack(buckets)])

    def _encode(self, ids: Tensor, length: Tensor) -> Encoding:
        mask = torch.arange(ids.shape[1], device=ids.device) < length[:, None]  # (n, t)
        if isinstance(self.tower, HFTextEncoder):
            return _transformers(self.tower, ids, mask, self.tokens_read)
        if self.causal:
            return _causal(self.tower, ids, mask, self.tokens_read)
        pooled, tokens = self.tower(ids)
        if not self.tokens_read:
            return Encoding(pooled)
        if self.tower.cls_emb is not None:
            tokens = self.tower.ln_final(tokens)
        return Encoding(pooled, _project(self.tower, tokens), mask)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        return projection_last(super().layer_groups(), self.tower, "text_projection")

    def save_assets(self, folder: Path) -> None:
        save(self.checkpoint, folder, vision_cfg=NO_IMAGE)
        self.processor.save(folder)
        if isinstance(self.tower, HFTextEncoder):
            self.tower.config.save_pretrained(folder)


def _saved(folder: Path, model: str) -> Checkpoint:
    """Return what `save_assets` wrote; a text model of transformers is then configured from there, too."""
    checkpoint = read(folder / CONFIG, model, tokenizer=folder)
    if "hf_model_name" in checkpoint.config["text_cfg"]:
        checkpoint.config["text_cfg"]["hf_model_name"] = str(folder)
    return checkpoint


def _sees_no_padding(tower: TextTransformer) -> bool:
    """Whether no token looks at what comes after it, and none after the text is read."""
    return tower.attn_mask is not None and tower.cls_emb is None and tower.pool_type in _INSIDE


def _causal(tower: TextTransformer, ids: Tensor, mask: Tensor, tokens_read: bool) -> Encoding:
    """Encode as the tower itself does, but of any length: it insists on its full context."""
    t = ids.shape[1]
    x = tower.token_embedding(ids) + tower.positional_embedding[:t]  # (n, t, width)
    x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:t, :t]))
    pooled = _project(tower, text_global_pool(x, ids, tower.pool_type, tower.eos_id))
    return Encoding(pooled, _project(tower, x), mask) if tokens_read else Encoding(pooled)


def _transformers(tower: HFTextEncoder, ids: Tensor, mask: Tensor, tokens_read: bool) -> Encoding:
    pooled, tokens = tower(ids)  # (n, d), (n, t, width): only the first is projected
    if not tokens_read:
        return Encoding(pooled)
    if type(tower.pooler) is ClsPooler:  # the first token is left out
        mask = mask[:, 1:]
    return Encoding(pooled, tower.proj(tokens), mask)


def _project(tower: TextTransformer, x: Tensor) -> Tensor:
    match tower.text_projection:
        case None:
            return x
        case nn.Linear() as linear:
            return linear(x)
        case matrix:
            return x @ matrix
