"""The encoder `video`: frames of a film through an encoder of images, and a transformer over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from fusion_scratch.text import Layer
from pydantic import Field
from torch import Tensor, nn

from fusion import Encoder, Encoding, Processor, Signal, decode
from fusion_video.reading import frames as frames_of

EACH, ALL = "frame/", "frames/"
"""How inputs begin that are (n, f, ...), and those that the encoder of images shapes otherwise."""


@dataclass(frozen=True)
class VideoProcessor(Processor):
    """Reads up to `count` frames of a film, each as the encoder of images reads it."""

    image: Processor
    count: int

    def decode(self, raw: object) -> list[Any]:
        return [self.image.decode(frame) for frame in frames_of(raw, self.count)]

    def collate(self, samples: Sequence[list[Any]]) -> dict[str, Tensor]:
        """Return which frames are real, (n, f), and the inputs of the encoder of images for n * f frames.

        A film with fewer frames than others has its last one again in their place.
        """
        most = max(map(len, samples))
        padded = [frame for sample in samples for frame in [*sample, *[sample[-1]] * (most - len(sample))]]
        real = torch.tensor([[place < len(sample) for place in range(most)] for sample in samples])
        inputs = {"real": real}
        for name, part in self.image.collate(padded).items():
            each = part.shape[:1] == (len(padded),)
            inputs[f"{EACH if each else ALL}{name}"] = part.unflatten(0, real.shape) if each else part
        return inputs

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        """Return those of the encoder of images, with one more axis; frames that stand for none stay."""
        real = inputs["real"]
        found = {}
        for name, signal in self.image.signals(_flat(inputs)).items():
            there = real.reshape(*real.shape, *(1 for _ in inputs[f"{EACH}{name}"].shape[2:]))
            own = there if signal.real is None else there & signal.real.unflatten(0, real.shape)
            found[f"{EACH}{name}"] = signal._replace(real=own, axis=signal.axis + 1)
        return found

    def show(self, raw: object) -> list[Any]:
        """Return the frames that are read, as pictures."""
        return [decode.image(frame) for frame in frames_of(raw, self.count)]

    def count_tokens(self, sample: list[Any]) -> int:
        return len(sample)


class Video(Encoder):
    """Encodes films by `count` frames, evenly spaced, that any encoder of images of the registry reads.

    A film is a path, the bytes of a file (with the extra `video`), or an array (t, h, w, 3). `layers`
    transformer layers go over the vectors of the frames, in their order, and their mean is the vector; with 0
    it is the mean of the frames, which knows no order. A token is a frame.
    """

    def __init__(
        self,
        *,
        frames: Encoder,
        count: Annotated[int, Field(ge=1)] = 8,
        layers: Annotated[int, Field(ge=0)] = 1,
        heads: Annotated[int, Field(ge=1)] = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        if layers and frames.dim % heads:
            raise ValueError(f"the width of the frames ({frames.dim}) must be divisible by heads ({heads})")
        self.frames = frames
        frames.tokens_read = False
        self.dim, self.origin = frames.dim, frames.origin
        self.processor = VideoProcessor(frames.processor, count)
        self.layers = nn.ModuleList(Layer(self.dim, heads, dropout) for _ in range(layers))
        if layers:
            self.places = nn.Parameter(torch.randn(count, self.dim) * 0.02)
            self.norm = nn.LayerNorm(self.dim)

    def forward(self, real: Tensor, **inputs: Tensor) -> Encoding:
        """Encode frames of which `real` (n, f) are those of a film; see the processor for the inputs."""
        x = self.frames(**_flat(inputs)).pooled.unflatten(0, real.shape)  # (n, f, d)
        if self.layers:
            x = x + self.places[: x.shape[1]]
            for layer in self.layers:
                x = layer(x, real)
            x = self.norm(x)
        kept = real[..., None]
        return Encoding((x * kept).sum(1) / kept.sum(1), x, real)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        over = [list(layer.parameters()) for layer in self.layers]
        if over:
            over[0].insert(0, self.places)
            over[-1] += self.norm.parameters()
        return [*self.frames.layer_groups(), *over]

    def recompute_blocks(self) -> list[nn.Module]:
        return [*self.frames.recompute_blocks(), *self.layers]


def _flat(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the inputs of the encoder of images."""
    return {
        name.removeprefix(EACH).removeprefix(ALL): part.flatten(0, 1) if name.startswith(EACH) else part
        for name, part in inputs.items()
        if name.startswith((EACH, ALL))
    }
