"""What augmentations and corruptions make of series and of features, in closed form."""

from typing import Any

import numpy as np
import pytest
from fusion_features.damage import gaps as feature_gaps
from fusion_features.damage import noise as feature_noise
from fusion_timeseries.augmentations import SeriesCrop, SeriesJitter, SeriesMask, SeriesScale
from fusion_timeseries.damage.drift import drift
from fusion_timeseries.damage.gaps import gaps
from fusion_timeseries.damage.noise import noise
from fusion_timeseries.damage.spikes import spikes
from fusion_timeseries.reading import size

from fusion import DataError

NAN = float("nan")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def nothing() -> Any:
    raise AssertionError("no other row is read")


def waves(points: int = 4000) -> np.ndarray[Any, Any]:
    """Two channels, one 1000 times as large and on a level of its own, with gaps."""
    time = np.arange(points)
    series = np.stack([np.sin(time / 7), 5e4 + 1000 * np.sin(time / 11)], axis=1).astype(np.float32)
    series[10:30, 0] = np.nan
    return series


def test_the_size_is_the_deviation_of_what_is_known() -> None:
    series = np.array([[1.0, 7.0, NAN], [5.0, 7.0, NAN], [NAN, 7.0, NAN], [3.0, NAN, NAN]], np.float32)
    np.testing.assert_allclose(size(series), [(8 / 3) ** 0.5, 0, 0])


@pytest.mark.parametrize(("severity", "decibels"), list(enumerate([20, 15, 10, 5, 0], 1)))
def test_noise_has_its_ratio_in_every_channel_and_fills_no_gap(severity: int, decibels: float) -> None:
    series = waves()
    noisy = noise(series, severity, rng())
    assert np.array_equal(np.isnan(noisy), np.isnan(series))
    for channel in range(2):
        signal, added = series[:, channel], (noisy - series)[:, channel]
        ratio = 20 * np.log10(np.nanstd(signal.astype(float)) / np.nanstd(added.astype(float)))
        assert ratio == pytest.approx(decibels, abs=0.3)


def test_a_line_leads_away_by_so_many_deviations() -> None:
    for severity, times in enumerate([0.5, 1.0, 2.0, 4.0, 8.0], 1):
        added = (drift(waves(), severity, rng()).astype(float) - waves()) / size(waves())
        assert np.abs(added[0, 1]) < 1e-3
        assert np.abs(added[-1]) == pytest.approx([times] * 2, abs=1e-2)
        assert np.nanmean(np.abs(np.diff(added[:, 0], 2))) < 1e-4  # it is straight


@pytest.mark.parametrize(("severity", "share"), list(enumerate([0.01, 0.02, 0.04, 0.08, 0.16], 1)))
def test_spikes_are_five_deviations_high(severity: int, share: float) -> None:
    added = np.abs((spikes(waves(), severity, rng()).astype(float) - waves()) / size(waves()))[100:]
    hit = added > 1
    assert hit.mean() == pytest.approx(share, rel=0.25)
    assert added[hit] == pytest.approx(np.full(hit.sum(), 5.0), abs=1e-2)
    assert added[~hit].max() < 1e-6


def test_gaps_are_tenths_and_grow_and_never_take_all() -> None:
    lost = np.array(
        [np.isnan(gaps(np.ones(50), level, rng(seed))) for seed in range(200) for level in (1, 5)]
    )
    tenths = lost.reshape(200, 2, 10, 5)
    assert (tenths.all(axis=3) | ~tenths.any(axis=3)).all()
    assert tenths.mean(axis=(0, 2, 3)) == pytest.approx([0.1, 0.5], abs=0.04)
    assert (tenths[:, 0] <= tenths[:, 1]).all()
    assert not np.isnan(gaps([1.0], 5, rng(3))).any()


def test_every_damage_of_a_constant_channel_but_gaps_leaves_it() -> None:
    for damage in (noise, drift, spikes):
        assert (damage(np.full(30, 7.0), 5, rng()) == 7).all()


def test_jitter_and_scale_go_by_channel_and_strength() -> None:
    shares = [
        np.nanstd((SeriesJitter(strength=0.5)(waves(), rng(seed), nothing) - waves()).astype(float), axis=0)
        / size(waves())
        for seed in range(100)
    ]
    assert np.max(shares) <= 0.52
    assert np.mean(shares) == pytest.approx(0.25, abs=0.04)
    ratios = np.array(
        [SeriesScale(strength=0.2)(waves(40), rng(seed), nothing)[35] / waves(40)[35] for seed in range(400)]
    )
    assert ratios.std(axis=0) == pytest.approx([0.2, 0.2], rel=0.15)
    assert np.corrcoef(ratios.T)[0, 1] == pytest.approx(0, abs=0.15)
    np.testing.assert_array_equal(SeriesJitter(strength=0)(waves(), rng(), nothing), waves())
    np.testing.assert_array_equal(SeriesScale(strength=0)(waves(), rng(), nothing), waves())


def test_a_crop_is_a_stretch_of_at_least_the_share() -> None:
    lengths = []
    for seed in range(200):
        part = SeriesCrop(least=0.25)(np.arange(100.0), rng(seed), nothing)[:, 0]
        assert (np.diff(part) == 1).all()
        lengths.append(len(part))
    assert (min(lengths), max(lengths)) == (pytest.approx(25, abs=2), pytest.approx(100, abs=2))
    late = np.full(10, NAN)
    late[9] = 1.0
    assert all((SeriesCrop(least=0.1)(late, rng(seed), nothing) == 1).any() for seed in range(50))


def test_a_mask_is_up_to_so_many_stretches_in_each_channel() -> None:
    for seed in range(100):
        lost = np.isnan(SeriesMask(spans=2, share=0.2)(np.ones((100, 3)), rng(seed), nothing))
        starts = np.diff(lost.astype(int), axis=0, prepend=0) == 1
        assert (starts.sum(axis=0) <= 2).all()
        assert (lost.sum(axis=0) <= 40).all()
    assert not np.isnan(SeriesMask(spans=0)(np.ones(9), rng(), nothing)).any()
    assert not np.isnan(SeriesMask(spans=9, share=1.0)([1.0], rng(), nothing)).any()


def test_moments_of_features_are_lost_and_features_multiplied() -> None:
    features = np.full((4000, 3), 2.0)
    lost = [(feature_gaps.gaps(features, level, rng()) == 0) for level in (1, 5)]
    assert [one.mean() for one in lost] == pytest.approx([0.1, 0.5], abs=0.03)
    assert all((one.all(axis=1) | ~one.any(axis=1)).all() for one in lost)
    assert (lost[0] <= lost[1]).all()
    for severity, deviation in enumerate([0.1, 0.2, 0.4, 0.8, 1.6], 1):
        assert (feature_noise.noise(features, severity, rng()) / 2).std() == pytest.approx(
            deviation, rel=0.05
        )


@pytest.mark.parametrize("raw", [None, "/no/such.npy", np.zeros((2, 2, 2)), object()])
def test_what_is_no_series_is_refused(raw: Any) -> None:
    for damage in (noise, drift, spikes, gaps, feature_gaps.gaps, feature_noise.noise):
        with pytest.raises(DataError):
            damage(raw, 1, rng())
    for vary in (SeriesJitter(), SeriesScale(), SeriesCrop(), SeriesMask()):
        with pytest.raises(DataError):
            vary(raw, rng(), nothing)
