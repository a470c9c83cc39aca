"""The encoder `scratch-audio`: a log-mel spectrogram and a small convolutional net over time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusion import Encoder, Encoding, Processor, Signal, decode

WINDOW = 0.032  # s
HOP = 0.010  # s
STRIDE = 4  # frames to a token
FLOOR = 1e-4  # of the loudest cell of a clip: what is 40 dB below it counts as silence


@dataclass(frozen=True)
class AudioProcessor(Processor):
    """Brings a sound to one channel and one rate; pads what is shorter than `seconds` with silence."""

    rate: int
    seconds: float

    def decode(self, raw: object) -> NDArray[np.float32]:
        return decode.audio(raw, self.rate, self.seconds)

    def collate(self, samples: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        x = np.zeros((len(samples), round(self.seconds * self.rate)), np.float32)
        for row, wave in zip(x, samples, strict=True):
            row[: len(wave)] = wave
        return {"x": torch.from_numpy(x), "length": torch.tensor([len(wave) for wave in samples])}

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        x, length = inputs["x"], inputs["length"]
        return {"x": Signal(-1.0, 1.0, real=torch.arange(x.shape[1], device=x.device) < length[:, None])}


class ScratchAudio(Encoder):
    """Encodes sounds of up to `seconds`; how loud a clip is makes no difference. A token covers 40 ms."""

    window: Tensor  # (window samples,)
    bank: Tensor  # (mels, frequencies)

    def __init__(self, *, rate: int = 8000, seconds: float = 1.0, mels: int = 40, dim: int = 128) -> None:
        super().__init__()
        if seconds < WINDOW:
            raise ValueError(
                f"seconds is {seconds}; at least {WINDOW}, one window of the spectrogram, are needed"
            )
        self.dim = dim
        self.processor = AudioProcessor(rate, seconds)
        self.hop = round(HOP * rate)
        window = torch.hann_window(round(WINDOW * rate))
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bank", mel_filters(rate, len(window), mels), persistent=False)
        self.net = nn.Sequential(
            nn.Conv1d(mels, dim, 5, stride=2, padding=2),
            nn.GroupNorm(1, dim),
            nn.GELU(),
            nn.Conv1d(dim, dim, 5, stride=2, padding=2),
            nn.GroupNorm(1, dim),
            nn.GELU(),
            nn.Conv1d(dim, dim, 3, padding=1),
            nn.GroupNorm(1, dim),
            nn.GELU(),
        )

    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        """Encode waveforms x (n, samples), of which the first `length` (n,) samples are real."""
        tokens = self.net(self.log_mel(x, length)).transpose(1, 2)  # (n, t, d)
        starts = torch.arange(tokens.shape[1], device=x.device) * self.hop * STRIDE
        mask = starts < length[:, None]  # (n, t)
        real = mask[..., None]
        mean = (tokens * real).sum(1) / real.sum(1)
        peak = tokens.masked_fill(~real, -torch.inf).amax(1)
        return Encoding(mean + peak, tokens, mask)

    def attributed(self) -> nn.Module:
        """Return the net, which reads the spectrogram: samples on the way from silence all sound alike."""
        return self.net

    def log_mel(self, x: Tensor, length: Tensor) -> Tensor:
        """Return the spectrogram (n, mels, frames): 1 in a clip's loudest cell, -1 in silence."""
        with torch.autocast(x.device.type, enabled=False):  # half precision cannot hold the power of a clip
            padding = torch.arange(x.shape[1], device=x.device) >= length[:, None]
            x = x.float().masked_fill(padding, 0)
            window = self.window
            spectrum = torch.stft(
                x, len(window), self.hop, window=window, pad_mode="constant", return_complex=True
            )  # (n, frequencies, frames)
            mel = self.bank @ (spectrum.real.square() + spectrum.imag.square())
            loudest = mel.amax((1, 2), keepdim=True).clamp(min=1e-10)
            return 1 - (mel / loudest).clamp(min=FLOOR).log() * (2 / math.log(FLOOR))


def mel_filters(rate: int, window: int, mels: int) -> Tensor:
    """Return triangles (mels, frequencies), evenly spaced on the mel scale up to half the rate.

    The scale is that of HTK: m = 2595 log10(1 + f / 700) (O'Shaughnessy 1987; Young et al., The HTK Book).
    """
    edges = 700 * (np.power(10, np.linspace(0, np.log10(1 + rate / 2 / 700), mels + 2)) - 1)  # Hz
    frequencies = np.fft.rfftfreq(window, 1 / rate)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - left) / (centre - left), (right - frequencies) / (right - centre)
    filters = np.clip(np.minimum(rising, falling), 0, None)
    if not filters.any(axis=1).all():
        raise ValueError(f"mels is {mels}; too many for a rate of {rate} Hz: some would hear nothing")
    return torch.tensor(filters, dtype=torch.float32)
