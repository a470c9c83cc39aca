"""Check an estimator."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from math import isfinite
from typing import Any

import numpy as np

from fusion.errors import PluginError
from fusion.estimator import Estimator, Labelled
from fusion.testing.expect import TIMES, expect

ROWS, CLASSES, WIDTH = 90, 3, 8
SIGNAL = 3.0  # distance of the classes beside the deviation of the noise


def check_estimator(build: Callable[..., Estimator], **options: Any) -> list[str]:
    """Check the estimator that `build(**options)` returns; return what passed."""
    return list(_checks(build, options))


def _checks(build: Callable[..., Estimator], options: dict[str, Any]) -> Iterator[str]:
    estimator = build(**options)
    expect(isinstance(estimator, Estimator), f"it builds a {type(estimator).__name__}", "a fusion.Estimator")
    rows = _rows(SIGNAL)
    before = deepcopy(rows)
    number = _answer(estimator, rows, "90 rows with probabilities of a source")
    if isinstance(number, str):
        raise PluginError(f"it has no estimate of ordinary rows: {number}; expected a number")
    yield "it estimates ordinary rows"

    same = all(np.array_equal(mine, its) for mine, its in zip(rows, before, strict=True))  # type: ignore[arg-type]
    expect(same, "it changes the rows that it is given", "them as they were")
    yield "it leaves the rows as they are"

    for built in (*[estimator] * TIMES, build(**options)):
        again = _answer(built, rows, "the rows again")
        expect(again == number, f"it gives {again} after {number}", "the same each time, for equal rows")
    yield f"equal rows get the same estimate {TIMES} times, and by another build"

    noise = _answer(estimator, _rows(0.0), "rows of noise")
    lower = isinstance(noise, str) or noise < number
    expect(lower, f"noise gets {noise}, vectors that tell the classes {number}", "larger to be better")
    yield "vectors and probabilities that tell the classes get more than noise"

    few, single = _rows(SIGNAL, rows=5, width=40), _rows(SIGNAL, rows=4)
    strange = {
        "5 rows of 40 numbers": few,
        "4 rows, a single one of two of the classes": single,
        "vectors that are all equal": rows._replace(vectors=np.ones_like(rows.vectors)),
        "vectors of zeros": rows._replace(vectors=np.zeros_like(rows.vectors)),
        "numbers of a vector that are equal": rows._replace(vectors=np.repeat(rows.vectors, 2, axis=1)),
        "large numbers": rows._replace(vectors=1e6 * rows.vectors),
        "a candidate that starts from no run": rows._replace(source=None),
        "a source that is certain": rows._replace(source=np.eye(CLASSES)[rows.labels]),
    }
    for what, given in strange.items():
        _answer(estimator, given, what)
    yield f"it gives a finite number, or words, for {len(strange)} strange sets of rows"


def _rows(signal: float, rows: int = ROWS, width: int = WIDTH) -> Labelled:
    """Return rows whose vectors, and probabilities of four source classes, tell so much of the labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % CLASSES
    shift = signal * np.eye(CLASSES)[labels]
    vectors, scores = rng.standard_normal((rows, width)), rng.standard_normal((rows, CLASSES + 1))
    vectors[:, :CLASSES] += shift
    scores[:, :CLASSES] += shift
    source = np.exp(scores)
    return Labelled(vectors, labels, source / source.sum(axis=1, keepdims=True))


def _answer(estimator: Estimator, rows: Labelled, what: str) -> float | str:
    answer = estimator(rows)
    expect(
        (isinstance(answer, str) and bool(answer)) or (isinstance(answer, float) and isfinite(answer)),
        f"for {what} it gives {answer!r}",
        "a finite float, or in words why there is none",
    )
    return answer
