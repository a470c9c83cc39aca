"""Mixing with another row: the own label gives the loss that both would give; what is absent is left out."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import beta

from fusion import Augmentation, DataError
from fusion.augmentations.mixing import AudioMixup, ImageCutmix, ImageMixup
from tests.augmentations.toys import vary

SIDE = 32
LEVELS = (0, 85, 170, 255)  # of four pictures or sounds, each of one level; the label is its number
DRAWS = 500  # for each of the 16 pairs
REFERENCE = 8000  # draws of CutMix as its paper has it


def plain(level: int) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE), level, np.uint8)


def loss(levels: Any, label: int) -> Any:
    """A loss that is not linear in what is seen."""
    return np.exp(-((np.asarray(levels) / 85 - label) ** 2))


def hard_losses(augmentation: Augmentation, make: Any, see: Any, draws: int = DRAWS) -> NDArray[np.float64]:
    """The losses of varied samples, of which only the own label is known."""
    found = []
    rng = np.random.default_rng(0)
    for own, theirs, _ in product(range(4), range(4), range(draws)):
        varied = augmentation(make(LEVELS[own]), rng, lambda theirs=theirs: make(LEVELS[theirs]))
        found.append(see(varied, own))
    return np.array(found)


def mixup_loss(alpha: float) -> float:
    """Mixup as Zhang et al. 2018 define it: shares from Beta(alpha, alpha), both labels by their share."""
    share = beta(alpha, alpha).ppf((np.arange(2000) + 0.5) / 2000)
    total = 0.0
    for i, j in product(range(4), repeat=2):
        mixed = share * LEVELS[i] + (1 - share) * LEVELS[j]
        total += (share * loss(mixed, i) + (1 - share) * loss(mixed, j)).mean() / 16
    return total


def sound(level: int) -> tuple[NDArray[np.float32], int]:
    return np.full(4, level / 255, np.float32), 8000


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
@pytest.mark.parametrize(
    ("build", "make", "see"),
    [
        (ImageMixup, plain, lambda x, label: loss(x.getpixel((0, 0))[0], label)),
        (AudioMixup, sound, lambda x, label: loss(x[0][0] * 255, label)),
    ],
    ids=["image", "audio"],
)
def test_the_own_label_gives_the_loss_of_mixup_with_both_labels(
    build: Callable[..., Augmentation], make: Any, see: Any, alpha: float
) -> None:
    found = hard_losses(build(alpha=alpha), make, see)
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - mixup_loss(alpha)) < 4 * error + 0.002  # the level of a pixel is rounded
    # with shares from Beta(alpha, alpha) the own label alone would say too much of itself
    share = beta(alpha, alpha).ppf((np.arange(2000) + 0.5) / 2000)
    naive = np.mean(
        [loss(share * LEVELS[i] + (1 - share) * LEVELS[j], i).mean() for i, j in product(range(4), repeat=2)]
    )
    assert abs(naive - mixup_loss(alpha)) > 10 * error


def cutmix_loss(alpha: float, draws: int = REFERENCE) -> float:
    """CutMix as Yun et al. 2019 define it: a box cut off at the edges, both labels by their area."""
    rng = np.random.default_rng(0)
    total = 0.0
    for _ in range(draws):
        half = np.sqrt(1 - rng.beta(alpha, alpha)) * SIDE / 2
        centres = rng.uniform(0, SIDE, 2)
        (top, left), (bottom, right) = (
            np.clip(np.round(edge), 0, SIDE).tolist() for edge in (centres - half, centres + half)
        )
        inside = (bottom - top) * (right - left) / SIDE**2
        i, j = rng.integers(4, size=2)
        centre_inside = top <= SIDE // 2 < bottom and left <= SIDE // 2 < right
        corner_inside = top <= 0 < bottom and left <= 0 < right
        seen = [LEVELS[j] if within else LEVELS[i] for within in (centre_inside, corner_inside)]
        total += (1 - inside) * two_losses(seen, i) + inside * two_losses(seen, j)
    return total / draws


def two_losses(seen: Any, label: int) -> float:
    """A loss that tells where in the picture something is."""
    first, second = (math.exp(-((level / 85 - label) ** 2)) for level in seen)
    return first + 3 * second**2


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_the_own_label_gives_the_loss_of_cutmix_with_both_labels(alpha: float) -> None:
    def see(picture: Image.Image, label: int) -> float:
        return two_losses([picture.getpixel(place)[0] for place in ((SIDE // 2, SIDE // 2), (0, 0))], label)

    found = hard_losses(ImageCutmix(alpha=alpha), plain, see)
    error = found.std() * np.sqrt(1 / len(found) + 1 / REFERENCE)
    assert abs(found.mean() - cutmix_loss(alpha)) < 4 * error
    # the own picture always outside, with its label alone, would be another loss
    rng = np.random.default_rng(1)
    outside = [
        two_losses([seen[0], seen[1]], own)
        for own, theirs, _ in product(range(4), range(4), range(300))
        for seen in [_own_outside(own, theirs, alpha, rng)]
    ]
    assert abs(np.mean(outside) - cutmix_loss(alpha)) > 10 * error


def _own_outside(own: int, theirs: int, alpha: float, rng: np.random.Generator) -> list[int]:
    half = np.sqrt(1 - rng.beta(alpha, alpha)) * SIDE / 2
    within = np.abs(rng.uniform(0, SIDE, 2) - [[SIDE / 2], [0.5]]).max(axis=1) < half
    return [LEVELS[theirs] if inner else LEVELS[own] for inner in within]


def test_cutmix_shows_a_box_of_one_picture_in_the_other() -> None:
    sizes = []
    for seed in range(200):
        shown = np.asarray(vary(ImageCutmix(), plain(0), seed, plain(255)))[..., 0] == 255
        box = shown if shown[[0, 0, -1, -1], [0, -1, 0, -1]].sum() < 3 else ~shown
        rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
        if len(rows):
            assert box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert box.sum() == len(rows) * len(columns)
        sizes.append(shown.mean())
    assert np.mean(sizes) < 0.45  # most is of its own
    assert max(sizes) > 0.5  # but not always


def test_a_partner_is_brought_to_the_size_of_the_picture() -> None:
    wide = np.full((3, 70), 255, np.uint8)
    for augmentation in (ImageMixup(alpha=1), ImageCutmix()):
        found = [vary(augmentation, np.zeros((9, 5), np.uint8), seed, wide) for seed in range(30)]
        assert {picture.size for picture in found} == {(5, 9)}
        assert any(np.asarray(picture).any() for picture in found)


def test_a_partner_is_brought_to_the_rate_and_the_length_of_the_sound() -> None:
    t = np.arange(4000) / 8000
    theirs = (np.sin(2 * np.pi * 300 * np.arange(44_100) / 44_100), 44_100)
    mixed, rate = vary(AudioMixup(alpha=1), (np.zeros(4000), 8000), 0, theirs)
    assert (rate, mixed.shape) == (8000, (4000,))
    middle = slice(800, -800)
    share = np.abs(mixed[middle]).max()
    np.testing.assert_allclose(mixed[middle], share * np.sin(2 * np.pi * 300 * t)[middle], atol=1e-2)


def test_behind_a_shorter_partner_the_sound_goes_on_alone() -> None:
    mixed, _ = vary(AudioMixup(alpha=1), (np.full(100, 0.5), 8000), 0, (np.full(30, -0.5), 8000))
    own = mixed[50] / 0.5
    np.testing.assert_allclose(mixed[30:], 0.5 * own, rtol=1e-6)
    np.testing.assert_allclose(mixed[:30], 0.5 * own - 0.5 * (1 - own), atol=1e-6)


@pytest.mark.parametrize("problem", [None, DataError("bad"), FileNotFoundError("gone"), b"no picture", 3.5])
@pytest.mark.parametrize("augmentation", [ImageMixup(), ImageCutmix(), AudioMixup()])
def test_without_a_partner_that_can_be_read_a_sample_stays_as_it_is(
    augmentation: Augmentation, problem: Any
) -> None:
    def other() -> Any:
        if isinstance(problem, Exception):
            raise problem
        return problem

    raw = sound(85) if isinstance(augmentation, AudioMixup) else plain(85)
    varied = augmentation(raw, np.random.default_rng(0), other)
    if isinstance(augmentation, AudioMixup):
        assert varied[0].tolist() == raw[0].tolist()
    else:
        assert (np.asarray(varied) == 85).all()


def test_a_fault_of_the_source_is_not_hidden() -> None:
    def broken() -> Any:
        raise KeyError("image")

    with pytest.raises(KeyError, match="image"):
        ImageMixup()(plain(0), np.random.default_rng(0), broken)


def test_a_partner_is_left_as_it_was() -> None:
    theirs, wave = Image.fromarray(plain(255)).convert("RGB"), np.ones(50, np.float32)
    for augmentation in (ImageMixup(), ImageCutmix()):
        for seed in range(20):
            vary(augmentation, plain(0), seed, theirs)
    vary(AudioMixup(), (np.zeros(50, np.float32), 8000), 1, (wave, 8000))
    assert (np.asarray(theirs) == 255).all()
    assert (wave == 1).all()
