"""The encoder `timm-image`: any model of timm that reads images."""

from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import Field
from timm.data import resolve_model_data_config
from torch import Tensor

from fusion import Encoder, Encoding
from fusion_timm.backbone import build, flatten, prune
from fusion_timm.checkpoint import find, read, write
from fusion_timm.preprocessing import ImageProcessor
from fusion_timm.pretrained import hold_statistics


class TimmImage(Encoder):
    """Encodes images with a model of timm, preprocessed as its configuration says.

    `model` is a name with or without a tag ("vgg16", "resnet50.a1_in1k"), "hf-hub:ORG/NAME", or a folder
    with config.json. `pretrained` is true for the model's own weights, the path of a weights file or its
    folder, or false for random ones; `revision` is a commit or branch on the Hub.

    `size` reads images of another height and width, whole and not upsampled where they have that size;
    None is what the weights were trained on. An architecture that cannot read it says so when it is built;
    VGG stretches the map of small images to the 7 x 7 cells that fc6 reads, as timm does it.

    `pooling` "head" gives what the model's own classifier reads: a class token, a pooled map, or for VGG
    the 4,096 features of fc7; "mean" is the mean of the tokens. A token is a cell of the last feature map
    or a patch. There are tokens where they are as wide as the vector, so none for VGG with "head".

    `batchnorm` says what BatchNorm does in training: "frozen" keeps the statistics that the weights came
    with, and a row is encoded alike in any batch and on any number of processes; "batch" updates them from
    the batch of each process, which needs batches of a good size. "auto" is "frozen" with weights and
    "batch" without, where there are no statistics to keep.
    """

    def __init__(
        self,
        assets: Path | None = None,
        *,
        model: str,
        pretrained: bool | str | None = True,
        revision: str | None = None,
        size: Annotated[int | None, Field(ge=1)] = None,
        pooling: Literal["head", "mean"] = "head",
        batchnorm: Literal["auto", "frozen", "batch"] = "auto",
    ) -> None:
        super().__init__()
        checkpoint = read(assets) if assets else find(model, pretrained, revision)
        self.origin = checkpoint.origin
        self.checkpoint = checkpoint._replace(weights=None)
        self.backbone = build(checkpoint, size)
        self.pooling = pooling
        self.frozen_statistics = batchnorm == "frozen" or (batchnorm == "auto" and bool(pretrained))
        chosen = {} if size is None else {"input_size": (3, size, size), "crop_pct": 1.0}
        self.processor = ImageProcessor.of(resolve_model_data_config(self.backbone, chosen))
        self.dim = self._try()

    def forward(self, x: Tensor) -> Encoding:
        """Encode images x (n, 3, height, width)."""
        if x.is_cuda:  # where convolutions are faster in this layout, and go on in it
            x = x.contiguous(memory_format=torch.channels_last)
        features = self.backbone.forward_features(x)
        tokens = flatten(features, self.backbone)  # (n, t, width of the map)
        if self.pooling == "head":
            pooled = self.backbone.forward_head(features, pre_logits=True)
        elif tokens is not None:
            pooled = tokens.mean(1)
        else:
            raise ValueError(f"{self.checkpoint.architecture} has several feature maps; use pooling: head")
        fits = tokens is not None and tokens.shape[2] == pooled.shape[1]
        return Encoding(pooled, tokens if fits else None)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen_statistics:
            hold_statistics(self)
        return self

    def save_assets(self, folder: Path) -> None:
        write(self.checkpoint, folder)

    def _try(self) -> int:
        """Encode one image, to see how wide its vector is and which parts are needed; return the width."""
        self.eval()
        image = torch.zeros(1, *self.processor.input_size)
        try:
            with torch.enable_grad():
                pooled, tokens, _ = self(image)
        except ValueError:
            raise
        except Exception as error:  # AssertionError, RuntimeError ...: each architecture refuses differently
            height, width = image.shape[2:]
            raise ValueError(
                f"{self.checkpoint.architecture} cannot read images of {height} x {width} pixels: {error}"
            ) from error
        prune(self.backbone, pooled, *([] if tokens is None else [tokens]))
        self.train()
        return pooled.shape[1]
