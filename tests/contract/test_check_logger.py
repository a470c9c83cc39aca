"""Each check of a logger finds the bug that it is there for."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from fusion import Followed, Logger, PluginError
from fusion.testing import check_logger


class Lines(Logger):
    """Lines of JSON in its folder."""

    def __init__(self, *, name: str = "heard.jsonl") -> None:
        self.name = name

    def begin(self, training: Followed) -> None:
        self.path = training.folder / self.name
        self.write([training.step, dict(training.recipe)])

    def log(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        self.write({step: dict(values) for step, values in steps.items()})

    def end(self, metrics: Mapping[str, float] | None) -> None:
        self.write(metrics)

    def write(self, content: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(content) + "\n")


def test_a_good_logger_passes() -> None:
    assert check_logger(Lines, name="other.jsonl") == [
        "it follows a training to its end, with a step that is not finite and a flush without steps",
        "it leaves what it is given as it is",
        "it lets go of a training that stops",
        "it goes on with a training that was stopped, from a step that it has had",
        "it lets go of a training that stops before its first step",
    ]


class Strict(Lines):
    """Takes no NaN."""

    def log(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        json.dumps({step: dict(values) for step, values in steps.items()}, allow_nan=False)


class Hasty(Lines):
    """Takes a flush to have steps."""

    def log(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        max(steps)


class Taking(Lines):
    def log(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        steps.clear()  # type: ignore[attr-defined]


class Adding(Lines):
    def end(self, metrics: Mapping[str, float] | None) -> None:
        assert metrics is not None
        super().end(metrics)


class New(Lines):
    """Expects a folder in which it has never been."""

    def begin(self, training: Followed) -> None:
        self.path = training.folder / self.name
        self.path.open("x").close()


class Late(Lines):
    """Has nothing to end before the first step."""

    def begin(self, training: Followed) -> None:
        self.place = training.folder / self.name

    def log(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        self.path = self.place
        super().log(steps)


@pytest.mark.parametrize(
    ("logger", "said"),
    [
        (Strict, ValueError),
        (Hasty, ValueError),
        (Adding, AssertionError),
        (New, FileExistsError),
        (Late, AttributeError),
    ],
)
def test_a_bug_is_raised(logger: type[Logger], said: type[Exception]) -> None:
    with pytest.raises(said):
        check_logger(logger)


def test_one_that_changes_what_it_is_given_is_told() -> None:
    with pytest.raises(
        PluginError, match="it changes what it is given; expected recipe, steps and metrics as"
    ):
        check_logger(Taking)


def test_what_is_no_logger_is_told() -> None:
    with pytest.raises(PluginError, match=r"it builds a dict; expected a fusion\.Logger"):
        check_logger(dict)  # type: ignore[arg-type]
