"""Speed, position, loudness, noise and masks of a sound, measured in what comes out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusion import decode
from fusion.augmentations.audio import AudioCrop, AudioGain, AudioMask, AudioNoise, AudioPosition, AudioSpeed
from tests.augmentations.toys import vary

RATE = 16_000
Wave = NDArray[np.float32]


def tone(hertz: float, seconds: float = 1.0, rate: int = RATE) -> tuple[Wave, int]:
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32), rate


def hiss(samples: int = RATE, rate: int = RATE) -> tuple[Wave, int]:
    return np.random.default_rng(5).normal(0, 0.1, samples).astype(np.float32), rate


def loudest(wave: Wave, rate: int = RATE) -> float:
    """The frequency of a tone, to a tenth of a hertz."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 10 * rate))
    return float(spectrum.argmax() / 10)


def mel(hertz: Any) -> Any:
    return 2595 * np.log10(1 + hertz / 700)


@pytest.mark.parametrize("hertz", [440, 3000])
def test_a_faster_sound_is_shorter_and_higher(hertz: float) -> None:
    speeds = []
    for seed in range(40):
        wave, rate = vary(AudioSpeed(strength=0.2), tone(hertz), seed)
        speeds.append(RATE / len(wave))
        assert rate == RATE
        assert loudest(wave) == pytest.approx(hertz * speeds[-1], abs=1)
    assert 0.8 - 1e-3 < min(speeds) < 0.83
    assert 1.17 < max(speeds) < 1.2 + 1e-3


def test_a_faster_sound_has_no_aliases() -> None:
    """A tone that would lie above half the rate is gone, and not folded back."""
    for seed in range(40):
        wave, _ = vary(AudioSpeed(strength=0.5), tone(7000), seed)
        if RATE / len(wave) > 1.2:
            assert np.abs(wave[200:-200]).max() < 0.01
            return
    pytest.fail("no draw was fast enough")


def test_a_sound_starts_late_after_silence() -> None:
    wave, _ = hiss(1000)
    delays = []
    for seed in range(300):
        late, rate = vary(AudioPosition(late=0.2), (wave, RATE), seed)
        delays.append(len(late) - 1000)
        assert rate == RATE
        assert not late[: delays[-1]].any()
        np.testing.assert_array_equal(late[delays[-1] :], wave)
    assert min(delays) < 5
    assert 195 < max(delays) <= 200


def test_a_sound_starts_early_without_its_start() -> None:
    wave, _ = hiss(1000)
    lengths = []
    for seed in range(300):
        early, _ = vary(AudioPosition(late=0.0, early=0.9), (wave, RATE), seed)
        lengths.append(len(early))
        np.testing.assert_array_equal(early, wave[-lengths[-1] :])
    assert 100 <= min(lengths) < 120
    assert max(lengths) > 980


def test_gain_is_one_factor_within_its_decibels() -> None:
    wave, _ = hiss()
    gains = []
    for seed in range(200):
        factors = vary(AudioGain(decibels=6), (wave, RATE), seed)[0] / wave
        np.testing.assert_allclose(factors, factors[0], rtol=1e-5)
        gains.append(20 * np.log10(factors[0]))
    assert -6 - 1e-3 < min(gains) < -5.7
    assert 5.7 < max(gains) < 6 + 1e-3
    assert np.mean(gains) == pytest.approx(0, abs=1)  # uniform in decibels: 4 standard errors


def test_noise_is_white_and_measured_against_the_loudness() -> None:
    wave, _ = tone(440)
    shares = []
    for seed in range(300):
        added = vary(AudioNoise(strength=0.2), (wave, RATE), seed)[0] - wave
        shares.append(np.sqrt(np.mean(added**2) / np.mean(wave**2)))
    assert max(shares) < 0.2 * 1.03  # at most 14 dB below the sound
    assert np.mean(shares) == pytest.approx(0.1, abs=0.014)  # uniform in 0..0.2: 4 standard errors
    power = np.abs(np.fft.rfft(added)) ** 2
    quarters = [part.mean() for part in np.array_split(power, 4)]
    assert max(quarters) / min(quarters) < 1.2


def test_silence_stays_silent_under_noise_and_gain() -> None:
    for augmentation in (AudioNoise(strength=1), AudioGain(decibels=60)):
        assert not vary(augmentation, (np.zeros(100), RATE))[0].any()


def test_a_mask_of_time_silences_one_span_and_nothing_else() -> None:
    wave, _ = hiss(1000)
    spans, starts = [], []
    for seed in range(300):
        masked, _ = vary(AudioMask(times=1, time=0.3, bands=0), (wave, RATE), seed)
        silent = np.flatnonzero(masked == 0)
        spans.append(len(silent))
        if len(silent):
            starts.append(silent[0] / (1000 - len(silent)))
            assert silent[-1] - silent[0] + 1 == len(silent)
        np.testing.assert_array_equal(np.delete(masked, silent), np.delete(wave, silent))
    assert 290 < max(spans) <= 300
    assert min(spans) < 10
    assert np.mean(starts) == pytest.approx(0.5, abs=0.07)  # anywhere alike: 4 standard errors


def test_several_masks_of_time_silence_several_spans() -> None:
    wave, _ = hiss(1000)
    counts = {
        int(np.diff(vary(AudioMask(times=3, time=0.1, bands=0), (wave, RATE), seed)[0] == 0).sum())
        for seed in range(100)
    }
    assert max(counts) == 6  # three spans, each with a start and an end
    assert counts <= set(range(7))


def test_a_mask_of_frequency_removes_one_band_and_leaves_the_others() -> None:
    wave, _ = hiss(1 << 14)  # as long as its transform, so that frequencies do not mix
    before = np.fft.rfft(wave)
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    widths, centres = [], []
    for seed in range(200):
        masked, _ = vary(AudioMask(times=0, bands=1, band=0.3), (wave, RATE), seed)
        after = np.fft.rfft(masked)
        gone = np.flatnonzero(np.abs(after) < 1e-3 * np.abs(before).mean())
        kept = np.setdiff1d(np.arange(len(before)), gone)
        np.testing.assert_allclose(after[kept], before[kept], atol=1e-3)
        if len(gone) > 10:
            assert gone[-1] - gone[0] + 1 == pytest.approx(len(gone), abs=2)
            widths.append((mel(hertz[gone[-1]]) - mel(hertz[gone[0]])) / mel(RATE / 2))
            centres.append(mel(hertz[gone]).mean() / mel(RATE / 2))
    assert 0.28 < max(widths) < 0.3 + 0.003
    assert min(centres) < 0.15
    assert max(centres) > 0.85


def test_a_tone_is_gone_when_its_band_is_masked_and_untouched_otherwise() -> None:
    shares = []
    for seed in range(200):
        wave, _ = vary(AudioMask(times=0, bands=2, band=0.3), tone(1000, 1.024), seed)
        shares.append(np.sqrt(np.mean(wave**2) / np.mean(tone(1000)[0] ** 2)))
    gone, kept = np.array(shares) < 0.1, np.array(shares) > 0.98
    assert (gone | kept).mean() > 0.95  # what is neither lies at the edge of a band
    assert 20 < gone.sum() < 120


@pytest.mark.parametrize("samples", [1, 2, 15, 17, 1000, 15_991, 44_101])
def test_sounds_of_any_length_keep_it_under_a_mask(samples: int) -> None:
    mask = AudioMask(times=0, bands=1, band=0.001)  # so little that it shows whether the rest comes back
    masked, _ = vary(mask, hiss(samples), 1)
    assert masked.dtype == np.float32
    assert masked.shape == (samples,)
    assert np.abs(masked - hiss(samples)[0]).max() < 0.2


NOTHING = [
    AudioSpeed(strength=0),
    AudioPosition(late=0, early=0),
    AudioGain(decibels=0),
    AudioNoise(strength=0),
    AudioMask(time=0, band=0),
    AudioMask(times=0, bands=0),
]
EVERYTHING = [
    AudioSpeed(strength=0.9),
    AudioPosition(late=1, early=0.9),
    AudioGain(decibels=60),
    AudioNoise(strength=10),
    AudioMask(times=5, time=1, bands=5, band=1),
]


@pytest.mark.parametrize("augmentation", NOTHING, ids=str)
def test_a_strength_of_zero_leaves_a_sound_as_it_is(augmentation: Any) -> None:
    for samples in (1, 999):
        wave, rate = vary(augmentation, hiss(samples, 11_025), 1)
        assert rate == 11_025
        np.testing.assert_array_equal(wave, hiss(samples)[0])


@pytest.mark.parametrize("augmentation", EVERYTHING, ids=str)
@given(
    samples=st.integers(1, 300), rate=st.sampled_from([1, 4000, 44_100, 1_000_000]), seed=st.integers(0, 99)
)
def test_every_strength_gives_a_finite_sound(augmentation: Any, samples: int, rate: int, seed: int) -> None:
    varied, same = augmentation(hiss(samples, rate), np.random.default_rng(seed), lambda: None)
    assert same == rate
    assert varied.dtype == np.float32
    assert varied.ndim == 1
    assert varied.size
    assert np.isfinite(varied).all()


def test_a_crop_is_from_anywhere_in_the_sound() -> None:
    ramp = np.arange(1000, dtype=np.float32) / 1000, 1000  # a sample's value is when it comes, in seconds
    starts = []
    for seed in range(200):
        wave, rate = vary(AudioCrop(seconds=0.25), ramp, seed)
        assert (rate, len(wave)) == (1000, 250)
        np.testing.assert_allclose(np.diff(wave), 1e-3, atol=1e-6)
        starts.append(float(wave[0]))
    assert 0 <= min(starts) < 0.03
    assert 0.72 < max(starts) <= 0.75
    assert np.mean(starts) == pytest.approx(0.375, abs=0.05)


def test_a_sound_shorter_than_a_crop_stays_as_it_is() -> None:
    wave, _ = hiss(1000)
    np.testing.assert_array_equal(vary(AudioCrop(seconds=1.0), (wave, RATE), 0)[0], wave)


def test_a_crop_of_a_file_reads_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(RATE * 60, np.int16), RATE)
    read, whole = [], soundfile.SoundFile.read

    def count(self: soundfile.SoundFile, frames: int, **how: Any) -> Any:
        read.append(frames)
        return whole(self, frames, **how)

    monkeypatch.setattr(soundfile.SoundFile, "read", count)
    wave, _ = vary(AudioCrop(seconds=2.0), path, 1)
    assert read == [2 * RATE]
    assert len(wave) == 2 * RATE
    assert decode.duration(path) == 60
