"""Check an augmentation."""

import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch

from fusion.augmentation import Augmentation
from fusion.errors import DataError, PluginError
from fusion.testing.expect import TIMES, expect
from fusion.testing.pickles import travel
from fusion.testing.sources import same

SEEDS = 32  # that are tried, for a sample that comes out otherwise


def check_augmentation(
    build: Callable[..., Augmentation], samples: Sequence[Any], **options: Any
) -> list[str]:
    """Check the augmentation that `build(**options)` returns; return what passed.

    `samples` are two or more raw ones of a modality as a source gives them.
    """
    return list(_checks(build, samples, options))


def vary(augmentation: Augmentation, samples: Sequence[Any], row: int, seed: int) -> Any:
    """Vary one of the samples as training does, with any of them to mix with."""
    rng = np.random.default_rng((seed, row))
    return augmentation(samples[row], rng, lambda: samples[int(rng.integers(len(samples)))])


def _checks(
    build: Callable[..., Augmentation], samples: Sequence[Any], options: dict[str, Any]
) -> Iterator[str]:
    expect(len(samples) > 1, f"{len(samples)} samples are given", "two or more")
    augmentation = build(**options)
    expect(
        isinstance(augmentation, Augmentation),
        f"it builds a {type(augmentation).__name__}",
        "a fusion.Augmentation",
    )
    pickled = travel("augmentation", augmentation)
    yield "it can be pickled and holds no weights"

    rows = range(len(samples))
    before, states = deepcopy(list(samples)), global_states()
    varied = [vary(augmentation, samples, row, 0) for row in rows]
    expect(same(list(samples), before), "it changes the sample that it is given", "a new one")
    for name, state in global_states().items():
        expect(state == states[name], f"it draws from {name}", "every draw to come from rng")
    yield "it leaves the samples, and every generator of random numbers but rng, as they were"

    again = ([vary(augmentation, samples, row, 0) for row in rows] for _ in range(TIMES))
    expect(
        all(same(varied, others) for others in again),
        "equal rng gives other samples each time",
        "every draw to come from rng",
    )
    copy = pickle.loads(pickled)  # pickled above  # nosec B301
    expect(
        same(varied, [vary(copy, samples, row, 0) for row in rows]),
        "the pickled augmentation gives other samples",
        "those of the one that was pickled",
    )
    yield f"equal rng gives the same bits {TIMES} times, and after pickling"

    expect(
        any(
            not same(varied[row], vary(augmentation, samples, row, seed))
            for seed in range(1, SEEDS)
            for row in rows
        ),
        f"{SEEDS} different rngs give the same samples",
        "them to vary; do the options leave everything as it is?",
    )
    yield "different rng gives different samples"

    for row in rows:
        _expect_readable(augmentation, varied, row)
    yield "it reads what it gives, so that others can follow it"

    _expect_unshaken(augmentation, samples[0])
    yield "a row to mix with that is absent, or that cannot be read, raises nothing"

    _refuses(augmentation)
    yield "it raises DataError for a sample that cannot be read"


def global_states() -> dict[str, bytes]:
    """Return the states of the generators of random numbers that no component draws from."""
    return {
        "the module random": pickle.dumps(random.getstate()),
        "numpy's global generator": pickle.dumps(np.random.get_state()),
        "torch's global generator": pickle.dumps(torch.get_rng_state().tolist()),
    }


def _expect_readable(augmentation: Augmentation, varied: Sequence[Any], row: int) -> None:
    try:
        vary(augmentation, varied, row, 0)
    except DataError as error:
        raise PluginError(
            f"it cannot read what it gave for sample {row}, a {type(varied[row]).__name__}: {error}; "
            "expected a sample in one of the forms in which a source gives them"
        ) from error


def _expect_unshaken(augmentation: Augmentation, sample: Any) -> None:
    def unreadable() -> Any:
        raise DataError("a row that cannot be read")

    partners: dict[str, Callable[[], Any]] = {"gives None": lambda: None, "raises DataError": unreadable}
    for does, other in partners.items():
        try:
            augmentation(sample, np.random.default_rng(0), other)
        except Exception as error:
            raise PluginError(
                f"it raised {error!r} where other() {does}; expected the sample as it is: it can be read"
            ) from error


def _refuses(augmentation: Augmentation) -> None:
    try:
        augmentation(object(), np.random.default_rng(0), object)
    except DataError:
        return
    except Exception as error:
        raise PluginError(
            f"a bare object() raised {error!r}; expected fusion.DataError: a bad row is then skipped and "
            "counted, any other error ends the training"
        ) from error
    raise PluginError("it took a bare object(); expected fusion.DataError for what it cannot read")
