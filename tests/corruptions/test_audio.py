"""What each corruption of a sound does, in closed form."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fusion import builtin
from fusion.corruption import SEVERITIES
from fusion.corruptions.audio.clipping import clipping
from fusion.corruptions.audio.gaps import gaps
from fusion.corruptions.audio.lowpass import lowpass
from fusion.corruptions.audio.reverb import reverb
from fusion.corruptions.audio.white_noise import white_noise

RATE = 16_000
Wave = NDArray[np.float64]


KINDS = {kind.name: kind for kind in builtin.fusion_corruptions()}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def tones(*hertz: float, seconds: float = 1.0) -> Any:
    time = np.arange(int(seconds * RATE)) / RATE
    return sum(np.sin(2 * np.pi * one * time) for one in hertz).astype(np.float32) / 4, RATE


def level(wave: Any, hertz: float) -> float:
    """Return the amplitude of a tone in a second of sound."""
    return float(2 * np.abs(np.fft.rfft(wave)[round(hertz * len(wave) / RATE)]) / len(wave))


@pytest.mark.parametrize(("severity", "decibels"), list(enumerate([20, 15, 10, 5, 0], 1)))
def test_noise_has_the_ratio_to_a_tenth_of_a_decibel(severity: int, decibels: float) -> None:
    for seed, sound in enumerate(
        [tones(440), tones(90, 3000, seconds=0.05), (rng(5).normal(0, 1e-3, 99), 8000)]
    ):
        wave = np.asarray(sound[0], np.float64)
        noisy, rate = white_noise(sound, severity, rng(seed))
        noise = noisy - wave
        assert 10 * np.log10(np.mean(wave**2) / np.mean(noise**2)) == pytest.approx(decibels, abs=0.1)
        assert rate == sound[1]


def test_silence_stays_silent() -> None:
    silent = (np.zeros(500, np.float32), RATE)
    for corruption in (white_noise, reverb, clipping, gaps, lowpass):
        assert not corruption(silent, 5, rng())[0].any()


@pytest.mark.parametrize(
    ("severity", "seconds", "ratio"),
    [(1, 0.2, 9), (2, 0.4, 6), (3, 0.6, 3), (4, 0.9, 0), (5, 1.3, -3)],
)
def test_an_impulse_sounds_in_a_room_that_decays_by_sixty_decibels(
    severity: int, seconds: float, ratio: float
) -> None:
    impulse = np.zeros(2 * RATE, np.float32)
    impulse[0] = 0.5
    wet = np.asarray(reverb((impulse, RATE), severity, rng())[0], np.float64) / 0.5
    assert wet[0] == pytest.approx(1, abs=1e-5)
    tail = wet[1:]
    assert 10 * np.log10(1 / np.sum(tail**2)) == pytest.approx(ratio, abs=0.01)
    span = int(seconds * RATE) // 10
    loud = [np.sum(tail[start : start + span] ** 2) for start in (0, 5 * span)]
    assert 10 * np.log10(loud[0] / loud[1]) == pytest.approx(30, abs=1.5)  # half of the time, half of 60 dB
    assert np.abs(wet[int(seconds * RATE) :]).max() < 1e-5


def test_the_room_is_linear_and_comes_after_the_sound() -> None:
    late = np.zeros(1000, np.float32)
    late[300] = 0.5
    wet = reverb((late, RATE), 3, rng())[0]
    assert len(wet) == 1000
    assert np.abs(wet[:300]).max() < 1e-6
    np.testing.assert_allclose(reverb((late / 2, RATE), 3, rng())[0], wet / 2, atol=1e-6)


@pytest.mark.parametrize(("severity", "share"), list(enumerate([0.5, 0.3, 0.2, 0.1, 0.05], 1)))
def test_clipping_cuts_at_a_share_of_the_peak_and_leaves_the_rest(severity: int, share: float) -> None:
    wave = np.array([0.0, 0.01, -0.01, 0.4, -0.8, 0.2], np.float32)
    clipped = clipping((wave, RATE), severity, rng())[0]
    assert np.abs(clipped).max() == pytest.approx(0.8 * share)
    np.testing.assert_array_equal(clipped[:3], wave[:3])
    assert (np.sign(clipped) == np.sign(wave)).all()


def test_gaps_are_whole_packets_of_twenty_milliseconds_and_grow() -> None:
    wave = np.ones(RATE * 20, np.float32)
    before = np.zeros(1000, bool)
    for severity in SEVERITIES:
        packets = gaps((wave, RATE), severity, rng())[0].reshape(1000, 320)
        lost = (packets == 0).all(axis=1)
        assert (lost | (packets == 1).all(axis=1)).all()
        assert lost.mean() == pytest.approx(0.1 * severity, abs=0.04)
        assert (lost | ~before).all()
        before = lost


@pytest.mark.parametrize(("severity", "cut"), list(enumerate([3400, 2400, 1600, 1000, 600], 1)))
def test_lowpass_takes_what_is_above_the_cut_and_keeps_what_is_below(severity: int, cut: int) -> None:
    wave = lowpass(tones(cut - 50, cut + 50, 7000), severity, rng())[0]
    assert level(wave, cut - 50) == pytest.approx(0.25, rel=1e-4)
    assert level(wave, cut + 50) < 1e-6
    assert level(wave, 7000) < 1e-6


@pytest.mark.parametrize("name", ["white-noise", "reverb", "clipping", "gaps", "lowpass"])
def test_each_severity_is_further_from_the_sound(name: str) -> None:
    sound = tones(300, 800, 1300, 2000, 3000, 5000)
    corruption: Any = KINDS[f"audio-{name}"].resolve()
    distances = [
        np.mean([np.square(corruption(sound, severity, rng(seed))[0] - sound[0]).mean() for seed in range(8)])
        for severity in SEVERITIES
    ]
    assert distances == sorted(set(distances))
    assert distances[0] > 0
