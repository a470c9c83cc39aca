"""Colours, noise, negatives and backgrounds, against torchvision and against arithmetic."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional as F

from fusion.augmentations.colour import ImageBlend, ImageColor, ImageInvert, ImageNoise
from tests.augmentations.toys import vary

LUMA = np.array([0.299, 0.587, 0.114])


def muted(side: int = 24) -> NDArray[np.uint8]:
    """Colours between 60 and 140, none of which is cut off when they change a little."""
    return np.random.default_rng(1).integers(60, 141, (side, side, 3), dtype=np.uint8)


def only(**strength: float) -> ImageColor:
    return ImageColor(**{"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0} | strength)


def floats(picture: Any) -> NDArray[np.float64]:
    return np.asarray(picture).astype(float)


def chroma(pixels: NDArray[np.float64]) -> NDArray[np.complex128]:
    """The colour of pixels beside their brightness, in the I and Q of YIQ."""
    return np.asarray(pixels @ [0.596, -0.274, -0.322] + 1j * (pixels @ [0.211, -0.523, 0.312]))


@pytest.mark.parametrize(
    ("name", "adjust", "measure"),
    [
        ("brightness", F.adjust_brightness, lambda x: x.mean()),
        ("contrast", F.adjust_contrast, lambda x: (x @ LUMA).std()),
        ("saturation", F.adjust_saturation, lambda x: (x - (x @ LUMA)[..., None]).std()),
    ],
)
def test_light_contrast_and_saturation_are_torchvisions(name: str, adjust: Any, measure: Any) -> None:
    picture = Image.fromarray(muted())
    factors = []
    for seed in range(40):
        varied = vary(only(**{name: 0.3}), picture, seed)
        factors.append(measure(floats(varied)) / measure(floats(picture)))
        expected = floats(adjust(picture, factors[-1]))
        assert np.abs(floats(varied) - expected).max() <= 2  # torchvision cuts decimals off
    assert 0.7 - 0.01 < min(factors) < 0.75
    assert 1.25 < max(factors) < 1.3 + 0.01


def test_hue_turns_colours_and_keeps_their_brightness() -> None:
    before = floats(muted())
    angles = []
    for seed in range(40):
        after = floats(vary(only(hue=0.1), muted(), seed))
        np.testing.assert_allclose(after @ LUMA, before @ LUMA, atol=0.6)
        turn = (chroma(after) * chroma(before).conj()).sum()
        angles.append(np.angle(turn) / (2 * np.pi))
        np.testing.assert_allclose(
            chroma(after), chroma(before) * np.exp(2j * np.pi * angles[-1]), atol=1.2
        )  # turned by one angle, and as far from gray
    assert 0.09 < np.abs(angles).max() < 0.101
    assert min(angles) < 0 < max(angles)


def test_gray_has_no_hue_and_no_saturation() -> None:
    gray = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    assert np.array_equal(np.asarray(vary(only(hue=0.5, saturation=1), gray))[..., 0], gray)


def test_a_picture_without_saturation_is_gray() -> None:
    spread = [np.ptp(floats(vary(only(saturation=1), muted(), s)), axis=-1).max() for s in range(200)]
    assert min(spread) <= 2  # the factor is in 0..2, and the least of 200 about 0.01


def test_noise_has_a_random_deviation_up_to_its_strength() -> None:
    gray = np.full((64, 64), 128, np.uint8)
    added = [floats(vary(ImageNoise(strength=0.1), gray, seed)) - 128 for seed in range(300)]
    deviations = np.array([noise.std() for noise in added]) / 255
    assert deviations.max() < 0.102
    assert deviations.mean() == pytest.approx(0.05, abs=0.007)  # uniform in 0..0.1: 4 standard errors
    assert np.abs(np.mean(added)) < 0.1  # rounded, not cut off
    assert np.corrcoef(added[1][..., 0].ravel(), added[1][..., 1].ravel())[0, 1] < 0.1


def test_noise_stays_within_the_range_of_a_pixel() -> None:
    halves = np.repeat(np.array([[0, 255]], np.uint8), 32, axis=0)
    noisy = np.asarray(vary(ImageNoise(strength=1), halves, 1))
    assert noisy[:, 0].max() < 255 or noisy[:, 0].min() == 0
    assert (noisy[:, 0] == 0).any()
    assert (noisy[:, 1] == 255).any()


def test_a_negative_of_a_negative_is_the_picture() -> None:
    negative = vary(ImageInvert(share=1), muted())
    assert np.array_equal(np.asarray(negative), 255 - muted())
    assert np.array_equal(np.asarray(vary(ImageInvert(share=1), negative)), muted())


def test_a_share_of_the_pictures_becomes_negatives() -> None:
    black = np.zeros((2, 2), np.uint8)
    inverted = [np.asarray(vary(ImageInvert(share=0.3), black, seed)).max() == 255 for seed in range(1000)]
    assert 0.24 < np.mean(inverted) < 0.36  # 4 standard errors


def test_mixing_with_one_colour_keeps_a_share_of_every_difference() -> None:
    halves = np.repeat(np.array([[0, 200]], np.uint8), 2, axis=0)
    shares = []
    for seed in range(100):
        mixed = floats(vary(ImageBlend(strength=0.6, cells=1), halves, seed))
        kept = (mixed[:, 1] - mixed[:, 0]) / 200
        assert np.ptp(kept) <= 0.011  # the same in every channel, but for rounding
        shares.append(1 - kept.mean())
    assert 0.55 < max(shares) <= 0.61
    assert min(shares) < 0.05


def test_the_difference_to_black_is_the_background_and_to_white_its_negative() -> None:
    blend = ImageBlend(strength=0.5, cells=3, how="difference")
    for seed in range(20):
        black = floats(vary(blend, np.zeros((9, 9), np.uint8), seed))
        white = floats(vary(blend, np.full((9, 9), 255, np.uint8), seed))
        np.testing.assert_array_equal(white, 255 - black)
        assert black.max() <= 127


def test_cells_are_spread_over_the_picture() -> None:
    black = np.zeros((40, 60), np.uint8)
    for cells in (1, 2, 5):
        ground = vary(ImageBlend(strength=1, cells=cells, how="difference"), black, 2)
        assert ground.size == (60, 40)
        centres = ((np.arange(cells) + 0.5) / cells * [[40], [60]]).astype(int)
        colours = np.asarray(ground)[np.ix_(*centres)].reshape(-1, 3)
        assert len(np.unique(colours, axis=0)) == cells**2
    plain = np.asarray(vary(ImageBlend(strength=1, cells=1), black, 2))
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) == 1
