"""Bring images into the form that a timm model was trained on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from PIL import Image
from timm.data import create_transform
from torch import Tensor

from fusion import Processor, Signal, decode


@dataclass(frozen=True)
class ImageProcessor(Processor):
    """timm's transform for evaluation: resize, crop or pad, scale to [0, 1], normalise."""

    input_size: tuple[int, int, int]  # channels, height, width
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    crop_mode: str | None

    @classmethod
    def of(cls, config: dict[str, Any]) -> Self:
        """Return the processor for what timm.data.resolve_model_data_config says."""
        return cls(
            tuple(config["input_size"]),
            config["interpolation"],
            tuple(config["mean"]),
            tuple(config["std"]),
            config["crop_pct"],
            config["crop_mode"],
        )

    def decode(self, raw: object) -> Tensor:
        """Return the image as (3, height, width). Raises DataError, also where it is a mere line."""
        image = decode.image(raw)
        return _transform(self)(image)

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        return {"x": Signal(0.0, 1.0, self.mean, self.std)}


@lru_cache(maxsize=16)
def _transform(processor: ImageProcessor) -> Callable[[Image.Image], Tensor]:
    """Return the transform; not kept in the processor, as torchvision's are modules, like weights."""
    transform: Callable[[Image.Image], Tensor] = create_transform(
        processor.input_size,
        is_training=False,
        interpolation=processor.interpolation,
        mean=processor.mean,
        std=processor.std,
        crop_pct=processor.crop_pct,
        crop_mode=processor.crop_mode,
    )
    return transform
