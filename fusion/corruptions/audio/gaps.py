"""Packets that were lost."""

from typing import Any

import numpy as np

from fusion.data import decode


def gaps(raw: Any, severity: int, rng: np.random.Generator) -> tuple[decode.Waveform, int]:
    """Lose each 20 ms, as packets are lost on a line, with probability 10, 20, 30, 40 or 50 %."""
    wave, rate = decode.sound(raw)
    packet = max(1, round(0.02 * rate))
    lost = rng.random(-(-len(wave) // packet)) < 0.1 * severity
    wave[lost.repeat(packet)[: len(wave)]] = 0
    return wave, rate
