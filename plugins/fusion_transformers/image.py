"""The encoder `hf-image`: ViT, DeiT, DINOv2, DINOv3 and the image towers of CLIP and SigLIP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from fusion_timm.pretrained import hold_statistics
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, PretrainedConfig, PreTrainedModel, ViTImageProcessor

from fusion import Encoder, Encoding, Processor, Signal, decode
from fusion_transformers.configuration import describe
from fusion_transformers.loading import class_of, load
from fusion_transformers.preprocessing import preprocessor_of
from fusion_transformers.towers import IMAGE, UNKNOWN, tower_of
from fusion_transformers.unused import freeze_unused

SIZE = 224  # pixels, of a configuration that does not say

Pooling = Literal["auto", "output", "cls", "mean"]


@dataclass(frozen=True)
class ImageProcessor(Processor):
    """Brings images to pixels with the model's own image processor."""

    prepare: Any  # an image processor of transformers

    def decode(self, raw: object) -> Tensor:
        pixels: Tensor = self.prepare(images=decode.image(raw), return_tensors="pt")["pixel_values"]
        return pixels[0]  # (3, height, width)

    def collate(self, samples: Sequence[Tensor]) -> dict[str, Tensor]:
        return {"pixels": torch.stack(list(samples))}

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        """Pixels from 0 to 1, where the model's own processor says how they were scaled and normalised."""
        said = self.prepare.to_dict()
        if said.get("do_normalize") and not (said.get("image_mean") and said.get("image_std")):
            return {}
        unit = 255 * said["rescale_factor"] if said.get("do_rescale") else 255.0
        mean, std = (said["image_mean"], said["image_std"]) if said.get("do_normalize") else ([0.0], [1.0])
        mean, std = (tuple(number / unit for number in numbers) for numbers in (mean, std))
        return {"pixels": Signal(0.0, 1.0, mean, std)}


class HfImage(Encoder):
    """Encodes images with a vision model of transformers.

    `model` is a folder, an id of the hub, or `config:` and a folder, an id or a type of model for random
    weights; a type takes `settings`. `pooling` says which vector stands for an image: the model's own
    (`output`), the class token (`cls`) or the mean of the patches; `auto` is what the model was trained for
    where that is known, else the mean. Tokens are the patches. `remote_code` runs the model's own code, of
    one repository at one commit.
    """

    processor: ImageProcessor

    def __init__(
        self,
        assets: Path | None = None,
        *,
        model: str,
        pooling: Pooling = "auto",
        revision: str | None = None,
        settings: dict[str, Any] | None = None,
        remote_code: str | None = None,
    ) -> None:
        super().__init__()
        described = describe(assets, model, revision, settings, remote_code)
        self.tower = tower_of(described.config, IMAGE)
        config = self.tower.own(described.config)
        self.special = self.tower.special(config)
        self.pooling = self.tower.choose(pooling, config)
        kind = class_of(described, self.tower, config, "pixel_values")
        prepare = preprocessor_of(described, AutoImageProcessor) or default_processor(config)
        self.processor = ImageProcessor(prepare)
        expect_one_size(self.processor)
        own = self.pooling == "output"
        self.model, self.origin = load(described, kind, self.tower, config, own)
        drop_mask_tokens(self.model)
        self.dim = self.tower.dim(config, own)
        if self.tower is UNKNOWN:
            freeze_unused(self, Image.new("RGB", (64, 64)))

    def forward(self, pixels: Tensor) -> Encoding:
        """Encode images pixels (n, 3, height, width) as the model's own processor gives them."""
        output = self.model(pixel_values=pixels)
        own = self.pooling == "output"
        every = self.tower.tokens(self.model, output, own)
        tokens = every[:, self.special :]  # (n, t, d)
        if own:
            return Encoding(output[self.tower.output].flatten(1), tokens)  # some give (n, d, 1, 1)
        return Encoding(every[:, 0] if self.pooling == "cls" else tokens.mean(1), tokens)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        hold_statistics(self.model)
        return self

    def save_assets(self, folder: Path) -> None:
        self.model.config.save_pretrained(folder)
        self.processor.prepare.save_pretrained(folder)


def drop_mask_tokens(model: PreTrainedModel) -> None:
    """Take out the vector that stands for hidden patches in pretraining: nothing is hidden here."""
    for module in model.modules():
        if "mask_token" in dict(module.named_parameters(recurse=False)):
            module.register_parameter("mask_token", None)


def default_processor(config: PretrainedConfig) -> ViTImageProcessor:
    """Return what random weights are given: an image of the model's size, in [-1, 1]."""
    size = getattr(config, "image_size", SIZE)
    height, width = (size, size) if isinstance(size, int) else size
    return ViTImageProcessor(size={"height": height, "width": width})


def expect_one_size(processor: ImageProcessor) -> None:
    """Raise ValueError for an image processor that gives images of different shapes, which do not stack."""
    wide, high = (processor.decode(Image.new("RGB", size)) for size in ((96, 64), (64, 96)))
    if wide.shape != high.shape:
        raise ValueError(
            f"the model's image processor makes {tuple(wide.shape)} of a wide image and {tuple(high.shape)} "
            "of a high one; models that take images of any shape are not supported"
        )
