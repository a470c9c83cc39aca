"""The frontends of the audio models that are known: of waveforms, of Whisper, of AST and of CLAP."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    FEATURE_EXTRACTOR_MAPPING,
    ASTConfig,
    ASTFeatureExtractor,
    ClapAudioConfig,
    ClapFeatureExtractor,
    HubertConfig,
    PretrainedConfig,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
)
from transformers.utils import ModelOutput

from fusion.buckets import overhead
from fusion_transformers.frontend import Frontend, Waveform, first
from fusion_transformers.weights import quiet

FRAME, HOP = 400, 160  # samples: the spectrogram of AST
LEAST = 0.1  # s, for models of which nothing is known
PER_SECOND = 50  # tokens of such a model, as wav2vec2 has them


class Unknown(Frontend):
    """Any other model: sounds of equal length share a forward pass, and all tokens count as real."""

    def __init__(self, config: PretrainedConfig, extractor: Any) -> None:
        super().__init__(config, extractor)
        self.least = round(LEAST * self.rate)
        self.per_token = self.rate // PER_SECOND

    @classmethod
    def default(cls, config: PretrainedConfig) -> Any:
        if type(config) not in FEATURE_EXTRACTOR_MAPPING:
            raise ValueError(f"transformers has no feature extractor for {type(config).__name__}")
        return FEATURE_EXTRACTOR_MAPPING[type(config)]()

    def mask(self, model: PreTrainedModel, samples: Tensor, tokens: int) -> Tensor:
        return torch.ones(len(samples), tokens, dtype=torch.bool, device=samples.device)


class Waveforms(Frontend):
    """wav2vec2, HuBERT and WavLM: the waveform of each sound, normalised over its own samples.

    Where the first convolution is normalised over time (`feat_extract_norm: group`), or an adapter or a batch
    normalisation sees padding, sounds of different length cannot be padded to share a forward pass: each
    length then has one of its own. On a CPU that is no slower (six sounds of 1 to 3 s at wav2vec2's
    base size: 2.8 s in six passes, 5.1 s padded into one, with layer norm).
    """

    def __init__(self, config: PretrainedConfig, extractor: Any) -> None:
        super().__init__(config, extractor)
        self.least = 1
        for kernel, stride in zip(config.conv_kernel[::-1], config.conv_stride[::-1], strict=True):
            self.least = (self.least - 1) * stride + kernel
        settings = config.to_dict()
        leaks = settings.get("add_adapter") or settings.get("conv_pos_batch_norm")
        self.per_token = math.prod(config.conv_stride)
        if config.feat_extract_norm == "layer" and not leaks:
            self.overhead = overhead() * self.per_token

    @classmethod
    def default(cls, config: PretrainedConfig) -> Any:
        return Wav2Vec2FeatureExtractor()

    def extract(self, wave: Waveform) -> dict[str, Tensor]:
        return {"input_values": super().extract(wave)["input_values"]}

    def run(self, model: PreTrainedModel, samples: Tensor, **features: Tensor) -> ModelOutput:
        if not self.overhead:
            return super().run(model, samples, **features)
        real = first(samples, features["input_values"].shape[1])
        with warnings.catch_warnings():  # WavLM gives torch masks of two types
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            return super().run(model, samples, **features, attention_mask=real.long())

    def mask(self, model: PreTrainedModel, samples: Tensor, tokens: int) -> Tensor:
        return first(model._get_feat_extract_output_lengths(samples), tokens)


class Windows(Frontend):
    """Whisper: always 30 s, of which what is not sound is silence; the model reads all of it."""

    def __init__(self, config: PretrainedConfig, extractor: Any) -> None:
        super().__init__(config, extractor)
        self.seconds = extractor.chunk_length

    @classmethod
    def default(cls, config: PretrainedConfig) -> Any:
        extractor = WhisperFeatureExtractor(feature_size=config.num_mel_bins)
        frames = 2 * config.max_source_positions
        return WhisperFeatureExtractor(
            feature_size=config.num_mel_bins,
            chunk_length=frames * extractor.hop_length // extractor.sampling_rate,
        )

    def mask(self, model: PreTrainedModel, samples: Tensor, tokens: int) -> Tensor:
        frames = (samples + self.extractor.hop_length - 1) // self.extractor.hop_length
        return first(model._get_feat_extract_output_lengths(frames), tokens)


class Patches(Frontend):
    """The Audio Spectrogram Transformer: a spectrogram of fixed length, about 10 s, cut into patches."""

    def __init__(self, config: PretrainedConfig, extractor: Any) -> None:
        super().__init__(config, extractor)
        self.least = FRAME
        self.seconds = ((extractor.max_length - 1) * HOP + FRAME) / self.rate

    @classmethod
    def default(cls, config: PretrainedConfig) -> Any:
        return ASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length)

    def mask(self, model: PreTrainedModel, samples: Tensor, tokens: int) -> Tensor:
        config = self.config
        across = (config.max_length - config.patch_size) // config.time_stride + 1
        frames = (samples - FRAME) // HOP + 1
        patches = (frames - 1) // config.time_stride + 1  # a patch is real where it begins in the sound
        return first(patches, across).repeat(1, tokens // across)  # low frequencies first, each over time


class Clap(Frontend):
    """CLAP: about 10 s, filled up by repeating the sound.

    Of a longer one a model with feature fusion (`enable_fusion`) reads the whole, shrunk, and three cuts; the
    places of the cuts are drawn, here always alike. What fuses them is not trained: few sounds reach it.
    """

    def __init__(self, config: PretrainedConfig, extractor: Any) -> None:
        super().__init__(config, extractor)
        if not config.enable_fusion:
            self.seconds = extractor.max_length_s  # beyond, the extractor would cut out a random part

    @classmethod
    def default(cls, config: PretrainedConfig) -> Any:
        return ClapFeatureExtractor(
            feature_size=config.num_mel_bins, truncation="fusion" if config.enable_fusion else "rand_trunc"
        )

    def extract(self, wave: Waveform) -> dict[str, Tensor]:
        with drawn_alike():
            features = super().extract(wave)
        hop = self.extractor.hop_length
        # the extractor takes one sound of each call for a longer one, which would change its vector
        longer = len(wave) // hop > self.extractor.nb_max_samples // hop
        return features | {"is_longer": torch.tensor([longer])}

    def mask(self, model: PreTrainedModel, samples: Tensor, tokens: int) -> Tensor:
        config, window = self.config, self.extractor.nb_max_samples
        folds = config.spec_size // config.num_mel_bins  # the spectrogram is folded into a square
        stride = config.patch_stride if isinstance(config.patch_stride, int) else config.patch_stride[1]
        across = folds * (config.spec_size // stride // 2 ** (len(config.depths) - 1))
        repeats = {"repeatpad": window // samples, "pad": 1, "repeat": window}[self.extractor.padding]
        real = (samples * repeats).clamp(max=window)  # what is left over is silence
        real = torch.where(samples > window, window, real)
        return first((real * across - 1) // window + 1, across).repeat(1, tokens // across)

    def freeze(self, model: PreTrainedModel) -> None:
        for name, module in model.named_modules():
            if name.rpartition(".")[2] in {"fusion_model", "mel_conv2d"}:
                module.requires_grad_(False)


@contextmanager
def drawn_alike() -> Iterator[None]:
    """Let what draws from numpy's global generator draw the same every time, and leave that as it was."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


FRONTENDS: dict[type[PretrainedConfig], type[Frontend]] = {
    Wav2Vec2Config: Waveforms,
    HubertConfig: Waveforms,
    WavLMConfig: Waveforms,
    WhisperConfig: Windows,
    ASTConfig: Patches,
    ClapAudioConfig: Clap,
}


def frontend_of(config: PretrainedConfig, extractor: Any | None) -> Frontend:
    """Return the frontend for the configuration of an audio model."""
    kind = next((FRONTENDS[known] for known in type(config).__mro__ if known in FRONTENDS), Unknown)
    with quiet():
        return kind.of(config, extractor)
