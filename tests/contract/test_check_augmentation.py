"""Each check of an augmentation finds the bug that it is there for."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fusion import Augmentation, DataError, PluginError
from fusion.testing import check_augmentation

Wave = NDArray[np.float32]
Other = Callable[[], Any]
SAMPLES = [np.sin(np.arange(length, dtype=np.float32)) for length in (3, 8, 5)]


class Noise(Augmentation):
    """Adds noise, and a little of another wave."""

    def __init__(self, *, strength: float = 0.1) -> None:
        self.strength = strength

    def __call__(self, raw: Any, rng: np.random.Generator, other: Other) -> Any:
        wave = self.read(raw)
        noise = rng.normal(0, self.strength, wave.shape).astype(np.float32)
        return wave + noise + np.float32(0.1) * self.partner(other)

    def partner(self, other: Other) -> Any:
        try:
            theirs = other()
        except DataError:
            return 0
        return 0 if theirs is None else self.read(theirs).mean()

    def read(self, raw: Any) -> Wave:
        if not isinstance(raw, np.ndarray):
            raise DataError("a wave is an array")
        return raw


def test_a_good_augmentation_passes() -> None:
    assert check_augmentation(Noise, SAMPLES, strength=0.2) == [
        "it can be pickled and holds no weights",
        "it leaves the samples, and every generator of random numbers but rng, as they were",
        "equal rng gives the same bits 10 times, and after pickling",
        "different rng gives different samples",
        "it reads what it gives, so that others can follow it",
        "a row to mix with that is absent, or that cannot be read, raises nothing",
        "it raises DataError for a sample that cannot be read",
    ]


class InPlace(Noise):
    def __call__(self, raw: Any, rng: np.random.Generator, other: Other) -> Any:
        self.read(raw)[...] += np.float32(rng.normal())
        return raw


class PartnerInPlace(Noise):
    def partner(self, other: Other) -> Any:
        theirs = other()
        theirs *= 2
        return 0


class DrawsFrom(Noise):
    def __init__(self, draw: Callable[[], Any]) -> None:
        super().__init__()
        self.draw = draw

    def __call__(self, raw: Any, rng: np.random.Generator, other: Other) -> Any:
        self.draw()
        return super().__call__(raw, rng, other)


class OwnGenerator(Noise):
    def __call__(self, raw: Any, rng: np.random.Generator, other: Other) -> Any:
        return super().__call__(raw, np.random.default_rng(), other)


class Counting(Noise):
    """Gets stronger from call to call."""

    def __call__(self, raw: Any, rng: np.random.Generator, other: Other) -> Any:
        self.strength *= 1.01
        return super().__call__(raw, rng, other)


class Fixed(Noise):
    def __call__(self, raw: Any, rng: np.random.Generator, other: Other) -> Any:
        return self.read(raw) * np.float32(2)


class Weighing(Noise):
    def __init__(self) -> None:
        super().__init__()
        self.filter = torch.nn.Linear(1, 1)


class Open(Noise):
    def __init__(self) -> None:
        super().__init__()
        self.shape = lambda wave: wave


class Forgetful(Noise):
    def __init__(self) -> None:
        super().__init__(strength=0.5)

    def __reduce__(self) -> Any:
        return Noise, ()


class Listing(Noise):
    def __call__(self, raw: Any, rng: np.random.Generator, other: Other) -> Any:
        return super().__call__(raw, rng, other).tolist()


class NeedsPartner(Noise):
    def partner(self, other: Other) -> Any:
        return self.read(other()).mean()


class TrustsPartner(Noise):
    def partner(self, other: Other) -> Any:
        theirs = other()
        return 0 if theirs is None else theirs.mean()


class Trusting(Noise):
    def read(self, raw: Any) -> Any:
        return raw.astype(np.float32)


class TakesAll(Noise):
    def read(self, raw: Any) -> Any:
        return raw if isinstance(raw, np.ndarray) else np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: abs, r"it builds a builtin_function_or_method; expected a fusion\.Augmentation"),
        (InPlace, "it changes the sample that it is given; expected a new one"),
        (PartnerInPlace, "it changes the sample that it is given"),
        (lambda: DrawsFrom(random.random), "it draws from the module random; expected every draw to come"),
        (lambda: DrawsFrom(np.random.rand), "it draws from numpy's global generator"),
        (lambda: DrawsFrom(_torch_draw), "it draws from torch's global generator"),
        (OwnGenerator, "equal rng gives other samples each time"),
        (Counting, "equal rng gives other samples each time"),
        (Fixed, "32 different rngs give the same samples; expected them to vary; do the options leave"),
        (Weighing, "the augmentation holds a Linear; expected no weights"),
        (Open, "the augmentation cannot be pickled: .*lambda"),
        (Forgetful, "the pickled augmentation gives other samples"),
        (Listing, "it cannot read what it gave for sample 0, a list: a wave is an array; expected a sample"),
        (NeedsPartner, r"it raised DataError.* where other\(\) gives None; expected the sample as it is"),
        (TrustsPartner, r"it raised DataError.* where other\(\) raises DataError; expected the sample as it"),
        (Trusting, r"a bare object\(\) raised AttributeError.*; expected fusion\.DataError"),
        (TakesAll, r"it took a bare object\(\); expected fusion\.DataError for what it cannot read"),
    ],
)
def test_a_faulty_augmentation_is_found(build: Callable[..., Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_augmentation(build, [sample.copy() for sample in SAMPLES])


def _torch_draw() -> Any:
    return torch.rand(1)


def test_one_sample_is_not_enough_to_mix() -> None:
    with pytest.raises(PluginError, match="1 samples are given; expected two or more"):
        check_augmentation(Noise, SAMPLES[:1])
