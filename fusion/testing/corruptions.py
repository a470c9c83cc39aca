"""Check a corruption."""

import pickle
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np

from fusion.corruption import SEVERITIES, Corruption
from fusion.errors import DataError, PluginError
from fusion.testing.augmentations import SEEDS, global_states
from fusion.testing.expect import TIMES, expect
from fusion.testing.pickles import travel
from fusion.testing.sources import same


def check_corruption(corruption: Corruption, samples: Sequence[Any]) -> list[str]:
    """Check a corruption, a function (raw, severity, rng); return what passed.

    `samples` are two or more raw ones of its modality as a source gives them.
    """
    return list(_checks(corruption, samples))


def damaged(corruption: Corruption, samples: Sequence[Any], severity: int, seed: int = 0) -> list[Any]:
    """Damage samples as an evaluation does."""
    return [corruption(raw, severity, np.random.default_rng((seed, row))) for row, raw in enumerate(samples)]


def _checks(corruption: Corruption, samples: Sequence[Any]) -> Iterator[str]:
    expect(len(samples) > 1, f"{len(samples)} samples are given", "two or more")
    pickled = travel("corruption", corruption)
    yield "it can be pickled"

    before, states = deepcopy(list(samples)), global_states()
    found = {severity: damaged(corruption, samples, severity) for severity in SEVERITIES}
    expect(same(list(samples), before), "it changes the sample that it is given", "a new one")
    for name, state in global_states().items():
        expect(state == states[name], f"it draws from {name}", "every draw to come from rng")
    yield "it leaves the samples, and every generator of random numbers but rng, as they were"

    copy = pickle.loads(pickled)  # pickled above  # nosec B301
    again = [damaged(corruption, samples, 5) for _ in range(TIMES)]
    expect(
        all(same(found[5], other) for other in [*again, damaged(copy, samples, 5)]),
        "equal rng gives other samples each time",
        "every draw to come from rng",
    )
    yield f"equal rng gives the same bits {TIMES} times, and after pickling"

    for severity, some in found.items():
        for row, sample in enumerate(some):
            _expect_readable(corruption, sample, row, severity)
    yield "it reads what it gives"

    for less, more in pairwise(SEVERITIES):
        expect(
            any(
                not same(*(damaged(corruption, samples, severity, seed) for severity in (less, more)))
                for seed in range(SEEDS)
            ),
            f"severity {more} leaves all {len(samples)} samples as severity {less} does",
            "each to damage more than the one before",
        )
    yield "every severity gives other samples than the one before"

    _refuses(corruption)
    yield "it raises DataError for a sample that cannot be read"


def _expect_readable(corruption: Corruption, sample: Any, row: int, severity: int) -> None:
    try:
        corruption(sample, 1, np.random.default_rng(0))
    except DataError as error:
        raise PluginError(
            f"it cannot read what it gave for sample {row} at severity {severity}, a "
            f"{type(sample).__name__}: {error}; expected a sample in a form in which a source gives them"
        ) from error


def _refuses(corruption: Corruption) -> None:
    try:
        corruption(object(), 1, np.random.default_rng(0))
    except DataError:
        return
    except Exception as error:
        raise PluginError(f"a bare object() raised {error!r}; expected fusion.DataError") from error
    raise PluginError("it took a bare object(); expected fusion.DataError for what it cannot read")
