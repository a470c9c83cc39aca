"""The encoder `hf-audio`: wav2vec2, HuBERT, WavLM, Whisper's encoder, AST and the audio tower of CLAP."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from fusion_timm.pretrained import hold_statistics
from pydantic import Field
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoFeatureExtractor

from fusion import Encoder, Encoding, Processor, decode
from fusion.buckets import pack, plan, restore, unpack
from fusion_transformers.configuration import describe
from fusion_transformers.frontend import Frontend
from fusion_transformers.frontends import frontend_of
from fusion_transformers.loading import class_of, load
from fusion_transformers.pooling import mean
from fusion_transformers.preprocessing import preprocessor_of
from fusion_transformers.towers import AUDIO, UNKNOWN, tower_of
from fusion_transformers.unused import freeze_unused

Pooling = Literal["auto", "output", "cls", "mean"]


class Sound(NamedTuple):
    """One sound as a model takes it, and its length."""

    features: dict[str, Tensor]
    samples: int

    @property
    def length(self) -> int:
        """How much of it there is where rows differ in length, in the unit of what comes first."""
        return len(next(iter(self.features.values())))


@dataclass(frozen=True)
class AudioProcessor(Processor):
    """Brings sounds to one channel at the model's rate, and to the features of its own extractor."""

    frontend: Frontend
    seconds: float

    def decode(self, raw: object) -> Sound:
        wave = decode.audio(raw, self.frontend.rate, self.seconds)
        if len(wave) < self.frontend.least:
            wave = np.pad(wave, (0, self.frontend.least - len(wave)))
        return Sound(self.frontend.extract(wave), len(wave))

    def collate(self, samples: Sequence[Sound]) -> dict[str, Tensor]:
        buckets = plan([sound.length for sound in samples], self.frontend.overhead)
        return pack(buckets, [_stack([samples[row] for row in bucket]) for bucket in buckets])

    def count_tokens(self, sample: Sound) -> int:
        return max(1, sample.length // self.frontend.per_token)


class HfAudio(Encoder):
    """Encodes sounds with an audio model of transformers.

    `model` is a folder, an id of the hub, or `config:` and a folder, an id or a type of model for random
    weights; a type takes `settings`. `pooling` says which vector stands for a sound: the model's own
    (`output`), its class token (`cls`) or the mean of the real frames; `auto` is what the model was trained
    for where that is known, else the mean. At most `seconds` are read, and no more than the model can take.
    `remote_code` runs the model's own code, of one repository at one commit.
    """

    processor: AudioProcessor

    def __init__(
        self,
        assets: Path | None = None,
        *,
        model: str,
        pooling: Pooling = "auto",
        seconds: Annotated[float, Field(gt=0)] = 30.0,
        revision: str | None = None,
        settings: dict[str, Any] | None = None,
        remote_code: str | None = None,
    ) -> None:
        super().__init__()
        described = describe(assets, model, revision, settings, remote_code)
        self.tower = tower_of(described.config, AUDIO)
        config = self.tower.own(described.config)
        self.special = self.tower.special(config)
        self.pooling = self.tower.choose(pooling, config)
        kind = class_of(described, self.tower, config, "input_values", "input_features")
        self.frontend = frontend_of(config, preprocessor_of(described, AutoFeatureExtractor))
        own = self.pooling == "output"
        self.model, self.origin = load(described, kind, self.tower, config, own)
        self.frontend.freeze(self.model)
        self.dim = self.tower.dim(config, own)
        self.processor = AudioProcessor(self.frontend, min(seconds, self.frontend.seconds))
        if self.tower is UNKNOWN:
            freeze_unused(self, (np.zeros(self.frontend.rate, np.float32), self.frontend.rate))

    def forward(self, order: Tensor, **buckets: Tensor) -> Encoding:
        """Encode the buckets samples_0 (n,) and features such as input_values_0 (n, samples), samples_1 ...

        `order` (n,) puts the rows back in order.
        """
        return restore(order, [self._encode(**bucket) for bucket in unpack(buckets)], self.tokens_read)

    def _encode(self, samples: Tensor, **features: Tensor) -> Encoding:
        output = self.frontend.run(self.model, samples, **features)
        own = self.pooling == "output"
        every = self.tower.tokens(self.model, output, own)
        tokens = every[:, self.special :]  # (n, t, d)
        mask = self.frontend.mask(self.model, samples, tokens.shape[1])
        if own:
            return Encoding(output[self.tower.output], tokens, mask)
        return Encoding(every[:, 0] if self.pooling == "cls" else mean(tokens, mask), tokens, mask)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        hold_statistics(self.model)
        return self

    def save_assets(self, folder: Path) -> None:
        self.model.config.save_pretrained(folder)
        self.frontend.extractor.save_pretrained(folder)


def _stack(sounds: Sequence[Sound]) -> dict[str, Tensor]:
    return {
        "samples": torch.tensor([sound.samples for sound in sounds]),
        **{
            name: pad_sequence([sound.features[name] for sound in sounds], batch_first=True)
            for name in sounds[0].features
        },
    }
