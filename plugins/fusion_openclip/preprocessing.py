"""Bring images into the form that an open_clip model was trained on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor

from fusion import Processor, Signal, decode


@dataclass(frozen=True)
class ImageProcessor(Processor):
    """open_clip's transform for evaluation: resize, crop or pad, scale to [0, 1], normalise."""

    size: tuple[int, int]  # height, width
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    resize_mode: str
    fill_color: int

    @classmethod
    def of(cls, config: Mapping[str, Any], size: int | Sequence[int]) -> Self:
        """Return the processor for a preprocess_cfg and the image size of a tower."""
        return cls(
            (size, size) if isinstance(size, int) else (size[0], size[1]),
            tuple(config["mean"]),
            tuple(config["std"]),
            config["interpolation"],
            config["resize_mode"],
            config["fill_color"],
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
    transform: Callable[[Image.Image], Tensor] = image_transform_v2(
        PreprocessCfg(
            size=processor.size,
            mean=processor.mean,
            std=processor.std,
            interpolation=processor.interpolation,
            resize_mode=processor.resize_mode,
            fill_color=processor.fill_color,
        ),
        is_train=False,
    )
    return transform
