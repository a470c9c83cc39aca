"""What each corruption of a picture does, at the size of a digit and at that of a photo."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fusion import builtin
from fusion.corruption import SEVERITIES
from fusion.corruptions.image.blur import blur
from fusion.corruptions.image.contrast import contrast
from fusion.corruptions.image.gaussian_noise import gaussian_noise
from fusion.corruptions.image.jpeg import jpeg
from fusion.corruptions.image.occlusion import occlusion

KINDS = {kind.name: kind for kind in builtin.fusion_corruptions()}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pixels(picture: Image.Image) -> NDArray[np.float64]:
    return np.asarray(picture, np.float64)


def gray(side: int) -> Image.Image:
    return Image.new("RGB", (side, side), (128, 128, 128))


def photo(width: int, height: int) -> Image.Image:
    return Image.fromarray(rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("side", "deviations"),
    [(16, [0.04, 0.06, 0.08, 0.09, 0.10]), (32, [0.04, 0.06, 0.08, 0.09, 0.10]), (224, [0.08, 0.12])],
)
def test_noise_has_the_deviation_of_the_paper_for_the_size(side: int, deviations: list[float]) -> None:
    for severity, deviation in enumerate(deviations, 1):
        noise = np.concatenate(
            [pixels(gaussian_noise(gray(side), severity, rng(seed))).ravel() - 128 for seed in range(40)]
        )
        assert noise.std() / 255 == pytest.approx(deviation, rel=0.02)
        assert noise.mean() == pytest.approx(0, abs=1)


def test_between_both_sizes_the_strength_is_a_power_of_the_side() -> None:
    side = int(np.sqrt(32 * 224))  # in the middle, on a scale of powers
    noise = pixels(gaussian_noise(gray(side), 1, rng())) - 128
    assert noise.std() / 255 == pytest.approx(np.sqrt(0.04 * 0.08), rel=0.02)


def test_a_larger_picture_gets_larger_grains_of_the_same_noise() -> None:
    noise = pixels(gaussian_noise(gray(448), 1, rng())) - 128
    blocks = noise.reshape(224, 2, 224, 2, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 4)
    assert (blocks == blocks[:, :1]).all()
    assert noise.std() / 255 == pytest.approx(0.08, rel=0.02)


@pytest.mark.parametrize(("side", "deviation"), [(8, 1.0), (32, 1.0), (224, 6.0), (448, 12.0)])
def test_blur_is_pillows_with_the_deviation_of_the_size(side: int, deviation: float) -> None:
    picture = photo(side, side)
    assert blur(picture, 5, rng()) == picture.filter(ImageFilter.GaussianBlur(deviation))


@pytest.mark.parametrize(("side", "share"), [(16, 0.4), (224, 0.2)])
def test_contrast_leaves_a_share_of_the_distance_from_the_mean_colour(side: int, share: float) -> None:
    picture = photo(side, side)
    before, after = pixels(picture), pixels(contrast(picture, 3, rng()))
    np.testing.assert_allclose(after.mean((0, 1)), before.mean((0, 1)), atol=0.2)
    np.testing.assert_allclose(after.std((0, 1)), share * before.std((0, 1)), rtol=0.01)


@pytest.mark.parametrize(("side", "qualities"), [(16, [80, 65, 58, 50, 40]), (300, [25, 18, 15, 10, 7])])
def test_jpeg_is_what_pillow_gives_at_the_quality(side: int, qualities: list[int]) -> None:
    picture = photo(side, side)
    for severity, quality in enumerate(qualities, 1):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        assert jpeg(picture, severity, rng()) == Image.open(file).convert("RGB")


@pytest.mark.parametrize(("width", "height"), [(8, 8), (16, 16), (300, 200), (31, 90)])
def test_the_box_covers_its_share_and_holds_the_smaller_ones(width: int, height: int) -> None:
    white = Image.new("RGB", (width, height), (255, 255, 255))
    for seed in range(20):
        before = np.zeros((height, width), bool)
        for severity in SEVERITIES:
            covered = (pixels(occlusion(white, severity, rng(seed))) == 127).all(-1)
            assert covered.sum() == pytest.approx(0.1 * severity * width * height, abs=max(width, height) / 2)
            ys, xs = np.nonzero(covered)
            assert covered.sum() == (np.ptp(ys) + 1) * (np.ptp(xs) + 1)  # one box
            assert (covered & before).sum() >= before.sum() - (width + height)  # but for a pixel at its edge
            before = covered


@pytest.mark.parametrize("name", ["gaussian-noise", "blur", "contrast", "jpeg", "occlusion"])
@pytest.mark.parametrize("size", [(16, 16), (64, 48), (224, 224)])
def test_each_severity_is_further_from_the_picture(name: str, size: tuple[int, int]) -> None:
    smooth = photo(5, 5).resize(size, Image.Resampling.BICUBIC)
    corruption: Any = KINDS[f"image-{name}"].resolve()
    distances = [
        np.mean(
            [
                np.abs(pixels(corruption(smooth, severity, rng(seed))) - pixels(smooth)).mean()
                for seed in range(8)
            ]
        )
        for severity in SEVERITIES
    ]
    assert distances == sorted(set(distances))
    assert distances[0] > 0
