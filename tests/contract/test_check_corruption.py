"""Each check of a corruption finds the bug that it is there for."""

import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fusion import DataError, PluginError
from fusion.testing import check_corruption

SAMPLES = [np.sin(np.arange(length, dtype=np.float32)) for length in (3, 8, 5)]


def read(raw: Any) -> NDArray[np.float32]:
    if not isinstance(raw, np.ndarray):
        raise DataError("a wave is an array")
    return raw


def noise(raw: Any, severity: int, rng: np.random.Generator) -> Any:
    return read(raw) + np.float32(severity / 10) * rng.standard_normal(raw.shape, np.float32)


def in_place(raw: Any, severity: int, rng: np.random.Generator) -> Any:
    wave = read(raw)
    wave += np.float32(severity)
    return wave


def draws_elsewhere(raw: Any, severity: int, rng: np.random.Generator) -> Any:
    return read(raw) + np.float32(random.random())


def own_generator(raw: Any, severity: int, rng: np.random.Generator) -> Any:
    return noise(raw, severity, np.random.default_rng())


def same_at_four_and_five(raw: Any, severity: int, rng: np.random.Generator) -> Any:
    return noise(raw, min(severity, 4), rng)


def gives_a_list(raw: Any, severity: int, rng: np.random.Generator) -> Any:
    return noise(raw, severity, rng).tolist()


def gives_nothing(raw: Any, severity: int, rng: np.random.Generator) -> Any:
    read(raw)


def takes_anything(raw: Any, severity: int, rng: np.random.Generator) -> Any:
    return noise(raw, severity, rng) if isinstance(raw, np.ndarray) else raw


def raises_otherwise(raw: Any, severity: int, rng: np.random.Generator) -> Any:
    return raw + np.float32(severity / 10) * rng.standard_normal(raw.shape, np.float32)


def test_a_good_corruption_passes() -> None:
    assert check_corruption(noise, SAMPLES) == [
        "it can be pickled",
        "it leaves the samples, and every generator of random numbers but rng, as they were",
        "equal rng gives the same bits 10 times, and after pickling",
        "it reads what it gives",
        "every severity gives other samples than the one before",
        "it raises DataError for a sample that cannot be read",
    ]


@pytest.mark.parametrize(
    ("corruption", "found"),
    [
        (lambda raw, severity, rng: raw, "cannot be pickled"),
        (in_place, "it changes the sample that it is given; expected a new one"),
        (draws_elsewhere, "it draws from the module random; expected every draw to come from rng"),
        (own_generator, "equal rng gives other samples each time"),
        (
            same_at_four_and_five,
            "severity 5 leaves all 3 samples as severity 4 does; expected each to damage",
        ),
        (gives_a_list, "it cannot read what it gave for sample 0 at severity 1, a list: a wave is an array"),
        (gives_nothing, "it cannot read what it gave for sample 0 at severity 1, a NoneType"),
        (takes_anything, r"it took a bare object\(\); expected fusion.DataError"),
        (raises_otherwise, r"a bare object\(\) raised AttributeError.*; expected fusion.DataError"),
    ],
)
def test_a_bug_is_found(corruption: Any, found: str) -> None:
    with pytest.raises(PluginError, match=found):
        check_corruption(corruption, [sample.copy() for sample in SAMPLES])


def test_one_sample_is_too_few() -> None:
    with pytest.raises(PluginError, match="1 samples are given; expected two or more"):
        check_corruption(noise, SAMPLES[:1])
