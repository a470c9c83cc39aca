"""The encoder `openclip-image`: the image tower of any open_clip model."""

from pathlib import Path
from typing import Self

from fusion_timm.pretrained import hold_statistics
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from fusion import Encoder, Encoding
from fusion_openclip.checkpoint import CONFIG, read
from fusion_openclip.preprocessing import ImageProcessor
from fusion_openclip.towers import NO_TEXT, Towers, load, projection_last, save


class OpenClipImage(Encoder):
    """Encodes images into the space of an open_clip model; vectors are not normalised.

    `model` is an architecture ("ViT-B-32"), "hf-hub:ORG/NAME", a folder with open_clip_config.json, or the
    path of an architecture in JSON. `pretrained` is a tag of the architecture ("laion2b_s34b_b79k"), the
    path of a weights file or its folder, true where there is only one choice, as on the Hub, or false for
    random weights. `revision` is a commit or branch on the Hub. Weights that are known by a tag get the
    activation that they were trained with; for a file, give the architecture whose name ends in -quickgelu
    when they were trained with QuickGELU, as OpenAI's were.

    A token is a patch, or a cell of the feature map, in the same space: what the tower's own projection
    makes of it. Where the tower pools with attention, it is the patch as SigLIP's pooling reads it, one of
    the queries of CoCa's captioner, and there are none in ModifiedResNet (RN50 ...) or where widths differ.

    With pretrained weights, BatchNorm, where there is any, keeps its statistics in training.
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
        towers = Towers(read(assets / CONFIG, model)) if assets else load(model, pretrained, revision)
        self.checkpoint = towers.checkpoint._replace(weights=None)
        self.origin = towers.checkpoint.origin
        self.tower = towers.take("image")
        self.frozen_statistics = bool(pretrained)
        self.dim = int(self.checkpoint.config["embed_dim"])
        self.processor = ImageProcessor.of(self.checkpoint.preprocessing, self.tower.image_size)
        if isinstance(self.tower, VisionTransformer):
            self.tower.output_tokens = True
            if self.tower.pool_type == "none":
                raise ValueError(f"the image tower of {self.checkpoint.name} has no vector for a whole image")

    def forward(self, x: Tensor) -> Encoding:
        """Encode images x (n, 3, height, width)."""
        match self.tower:
            case VisionTransformer():
                return _transformer(self.tower, x, self.tokens_read)
            case TimmModel():
                return _timm(self.tower, x, self.tokens_read)
            case _:  # ModifiedResNet
                return Encoding(self.tower(x))

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen_statistics:
            hold_statistics(self)
        return self

    def layer_groups(self) -> list[list[nn.Parameter]]:
        return projection_last(super().layer_groups(), self.tower, "proj")

    def save_assets(self, folder: Path) -> None:
        save(self.checkpoint, folder, text_cfg=NO_TEXT)


def _transformer(tower: VisionTransformer, x: Tensor, tokens_read: bool) -> Encoding:
    pooled, tokens = tower(x)  # (n, d), (n, t, width): only the first is projected
    if not tokens_read:
        return Encoding(pooled)
    if tower.final_ln_after_pool and tower.attn_pool is None:
        tokens = tower.ln_post(tokens)
    return Encoding(pooled, tokens @ tower.proj)


def _timm(tower: TimmModel, x: Tensor, tokens_read: bool) -> Encoding:
    trunk = tower.trunk
    features = trunk.forward_features(x)
    pooled = tower.head(trunk.forward_head(features))  # (n, d)
    if not tokens_read:
        return Encoding(pooled)
    prefix = getattr(trunk, "num_prefix_tokens", 0)  # class tokens; 0 for feature maps
    pool = getattr(trunk, "global_pool", "avg")
    if pool == "map":
        tokens = features[:, prefix:]  # (n, t, width)
        return Encoding(pooled, tokens if tokens.shape[2] == pooled.shape[1] else None)
    if "pool" in dict(tower.head.named_children()) or (pool == "avg" and prefix):
        return Encoding(pooled)
    # a token is what the tower would say of an image that consists of this patch or cell alone
    match features.ndim, getattr(trunk, "output_fmt", "NCHW"):
        case 3, _:
            cells = features[:, prefix:]  # (n, t, width)
            alone = cells.flatten(0, 1)[:, None]  # (n t, 1, width)
        case _, "NHWC":
            cells = features.flatten(1, 2)
            alone = cells.flatten(0, 1)[:, None, None]
        case _:
            cells = features.flatten(2).transpose(1, 2)
            alone = cells.flatten(0, 1)[..., None, None]
    tokens = tower.head(trunk.forward_head(alone))  # (n t, d)
    return Encoding(pooled, tokens.unflatten(0, cells.shape[:2]))
