"""Size, position, crop and side of a picture, against what geometry says."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import RandomResizedCrop

from fusion.augmentations.image import ImageCrop, ImageFlip, ImageMove, ImageResize
from tests.augmentations.toys import vary

SIDES = st.integers(1, 90)
SEEDS = st.integers(0, 2**32 - 1)


def ramp(side: int = 64) -> NDArray[np.uint8]:
    """A picture that gets lighter by 2 levels a pixel to the right, and is the same in every row."""
    return np.tile((2 * np.arange(side)).astype(np.uint8), (side, 1))


def slope(picture: Image.Image, cut: int = 16) -> NDArray[np.float64]:
    """Fit a plane to the middle: levels a pixel to the right and down, and the level at the centre."""
    pixels = np.asarray(picture)[..., 0].astype(float)
    side = len(pixels)
    down, right = np.mgrid[:side, :side] - (side - 1) / 2
    inner = (slice(cut, -cut), slice(cut, -cut))
    columns = np.stack([right[inner].ravel(), down[inner].ravel(), np.ones(right[inner].size)], axis=1)
    fitted, *_ = np.linalg.lstsq(columns, pixels[inner].ravel(), rcond=None)
    assert np.abs(columns @ fitted - pixels[inner].ravel()).max() < 1.5  # it is still a plane
    return np.asarray(fitted)


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shift", [0.05, 0.25])
def test_a_shift_moves_all_of_the_picture_alike_and_up_to_its_bound(shift: float) -> None:
    fits = [slope(vary(ImageMove(shift=shift, scale=0, rotate=0), ramp(), seed)) for seed in range(60)]
    shifts = np.array([(level - 63) / 2 / 64 for _, _, level in fits])  # 63 is the level at the centre
    for right, down, _ in fits:
        assert right == pytest.approx(2, abs=0.02)
        assert down == pytest.approx(0, abs=0.02)
    assert 0.9 * shift < np.abs(shifts).max() < shift + 0.005
    assert min(shifts) < 0 < max(shifts)


def test_a_picture_is_scaled_about_its_centre() -> None:
    fits = np.array(
        [slope(vary(ImageMove(shift=0, scale=0.2, rotate=0), ramp(), seed)) for seed in range(60)]
    )
    factors = 2 / fits[:, 0]
    assert 0.8 - 0.01 < factors.min() < 0.83
    assert 1.17 < factors.max() < 1.2 + 0.01
    np.testing.assert_allclose(fits[:, 2], 63, atol=0.6)


def test_a_picture_is_turned_about_its_centre() -> None:
    fits = np.array(
        [slope(vary(ImageMove(shift=0, scale=0, rotate=0.3), ramp(), seed)) for seed in range(60)]
    )
    angles = np.arctan2(fits[:, 1], fits[:, 0])
    assert 0.27 < np.abs(angles).max() < 0.3 + 0.01
    assert min(angles) < 0 < max(angles)
    np.testing.assert_allclose(np.hypot(fits[:, 0], fits[:, 1]), 2, atol=0.03)
    np.testing.assert_allclose(fits[:, 2], 63, atol=0.6)


def test_what_comes_in_from_outside_is_black() -> None:
    moved = np.asarray(vary(ImageMove(shift=1, scale=0, rotate=0), np.full((64, 64), 200, np.uint8), 3))
    assert (moved == 0).any()
    assert (moved == 200).any()


@given(SIDES, SIDES, SEEDS)
def test_a_picture_keeps_its_size_when_it_is_moved(width: int, height: int, seed: int) -> None:
    moved = ImageMove()(noise(width, height), np.random.default_rng(seed), lambda: None)
    assert (moved.mode, moved.size) == ("RGB", (width, height))


@given(SIDES, SIDES, SEEDS, st.floats(0.01, 1), st.floats(1, 10))
def test_a_crop_is_a_part_of_the_picture(
    width: int, height: int, seed: int, least: float, stretch: float
) -> None:
    picture = noise(width, height)
    crop = np.asarray(
        ImageCrop(least=least, stretch=stretch)(picture, np.random.default_rng(seed), lambda: None)
    )
    down, across = crop.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(picture, (down, across, 3))[:, :, 0]
    assert (windows == crop).all(axis=(2, 3, 4)).any()


@pytest.mark.parametrize(("width", "height"), [(300, 300), (400, 300), (200, 350)])
def test_crops_are_distributed_as_torchvisions(width: int, height: int) -> None:
    crop, picture = ImageCrop(least=0.3, stretch=4 / 3), Image.new("RGB", (width, height))
    sizes = np.array([vary(crop, picture, seed).size for seed in range(1500)])
    theirs = RandomResizedCrop(1, scale=(0.3, 1.0), ratio=(3 / 4, 4 / 3))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = [theirs.make_params([picture]) for _ in range(1500)]
    expected = np.array([(drawn["width"], drawn["height"]) for drawn in found])
    for measure in (np.prod, lambda size, axis: np.log(size[:, 0] / size[:, 1])):
        own, other = measure(sizes, axis=1), measure(expected, axis=1)
        error = np.hypot(own.std(), other.std()) / np.sqrt(1500)
        assert abs(own.mean() - other.mean()) < 4 * error
        assert own.std() == pytest.approx(other.std(), rel=0.1)


def test_a_crop_of_everything_is_the_picture() -> None:
    for size in ((8, 8), (1, 1)):
        assert np.array_equal(np.asarray(vary(ImageCrop(least=1, stretch=1), noise(*size))), noise(*size))


def test_a_crop_has_a_pixel_at_least() -> None:
    assert {vary(ImageCrop(least=0.01, stretch=10), noise(1, 1), s).size for s in range(200)} == {(1, 1)}


def test_of_a_long_picture_as_much_is_cut_out_as_its_shape_allows() -> None:
    assert vary(ImageCrop(least=0.9, stretch=1), noise(80, 20)).size == (20, 20)
    assert vary(ImageCrop(least=0.9, stretch=1.5), noise(20, 80)).size == (20, 30)


def test_a_picture_is_mirrored_left_to_right() -> None:
    picture = noise(5, 3)
    mirrored = vary(ImageFlip(share=1), picture)
    assert np.array_equal(np.asarray(mirrored), picture[:, ::-1])
    assert np.array_equal(np.asarray(vary(ImageFlip(share=1), mirrored)), picture)
    assert np.array_equal(np.asarray(vary(ImageFlip(share=0), picture)), picture)


def test_a_share_of_the_pictures_is_mirrored() -> None:
    picture = noise(5, 3)
    mirrored = [
        not np.array_equal(np.asarray(vary(ImageFlip(share=0.3), picture, s)), picture) for s in range(1000)
    ]
    assert 0.24 < np.mean(mirrored) < 0.36  # 4 standard errors


def test_a_picture_is_resized_to_the_area_of_a_square() -> None:
    resized = [vary(ImageResize(least=16, most=24), noise(40, 10), seed) for seed in range(200)]
    # the shape stays 4 to 1: 32 x 8 has the area of 16 x 16, and 48 x 12 that of 24 x 24
    assert {picture.size for picture in resized} >= {(32, 8), (40, 10), (48, 12)}
    assert all(32 <= picture.width <= 48 and 8 <= picture.height <= 12 for picture in resized)


def test_equal_bounds_only_resize() -> None:
    given = Image.fromarray(noise(8, 8))
    expected = given.resize((32, 32), Image.Resampling.BILINEAR)
    assert all(vary(ImageResize(least=32, most=32), given, seed) == expected for seed in range(5))


def test_a_thin_line_keeps_a_pixel_of_width_and_stays_small() -> None:
    picture = vary(ImageResize(least=5, most=5), np.zeros((1, 100), np.uint8))
    assert picture.size == (50, 1)  # 100 pixels of one row have the area of 10 x 10


def test_bounds_in_the_wrong_order_are_named() -> None:
    with pytest.raises(ValueError, match=r"least \(30\) is more than most \(20\)"):
        ImageResize(least=30, most=20)
