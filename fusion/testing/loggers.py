"""Check a logger."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from copy import deepcopy
from math import inf, nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fusion.logger import Followed, Logger
from fusion.testing.expect import expect

RECIPE: dict[str, Any] = {
    "name": "fusion-check",
    "init": None,
    "train.lr": 1e-3,
    "train.compile": False,
    "classes": ["one", "two"],
    "evaluate.zero_shot.templates": ["the digit {}"],
    "fuser.options": {},
}
STEPS = {
    1: {"loss": 2.5, "loss/align": 2.0, "grad_norm": 0.5, "lr": 1e-3},
    2: {"loss": nan, "loss/align": nan, "grad_norm": inf, "lr": 9e-4},
}
METRICS = {"retrieval/image->audio/hit@1": 0.5, "subsets/image+text/digit/accuracy": 1.0, "train/steps": 4.0}


def check_logger(build: Callable[..., Logger], **options: Any) -> list[str]:
    """Check the logger that `build(**options)` returns; return what passed.

    It follows a training that is called `fusion-check`, in a working folder that goes when the check is done.
    """
    with TemporaryDirectory() as folder, chdir(folder):
        return list(_checks(lambda: build(**options), Path(folder)))


def _checks(build: Callable[[], Logger], place: Path) -> Iterator[str]:
    logger = build()
    expect(isinstance(logger, Logger), f"it builds a {type(logger).__name__}", "a fusion.Logger")
    recipe, steps, metrics = deepcopy((RECIPE, STEPS, METRICS))
    _follow(logger, _followed(place / "whole", recipe, 0), [steps, {}], metrics)
    yield "it follows a training to its end, with a step that is not finite and a flush without steps"

    same = repr((recipe, steps, metrics)) == repr((RECIPE, STEPS, METRICS))  # NaN is not equal to itself
    expect(same, "it changes what it is given", "recipe, steps and metrics as they were")
    yield "it leaves what it is given as it is"

    _follow(build(), _followed(place / "stopped", RECIPE, 0), [STEPS], None)
    yield "it lets go of a training that stops"

    later = {step + 1: values for step, values in STEPS.items()}
    _follow(build(), _followed(place / "stopped", {**RECIPE, "train.track.0": "more"}, 1), [later], METRICS)
    yield "it goes on with a training that was stopped, from a step that it has had"

    _follow(build(), _followed(place / "empty", RECIPE, 0), [], None)
    yield "it lets go of a training that stops before its first step"


def _followed(folder: Path, recipe: Mapping[str, Any], step: int) -> Followed:
    folder.mkdir(exist_ok=True)
    return Followed(folder.name, folder, recipe, step)


def _follow(
    logger: Logger,
    training: Followed,
    flushes: list[dict[int, dict[str, float]]],
    metrics: Mapping[str, float] | None,
) -> None:
    logger.begin(training)
    for steps in flushes:
        logger.log(steps)
    logger.end(metrics)
