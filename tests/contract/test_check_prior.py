"""Each check of a prior finds the bug that it is there for."""

import pytest
import torch
from torch import Tensor

from fusion import Earlier, PluginError, Prior, Pull
from fusion.testing import check_prior


class Hold(Prior):
    """What is known is held where it is."""

    def __init__(self, earlier: Earlier | None, *, strength: float = 1.0) -> None:
        super().__init__(earlier)
        self.strength = strength

    def pull(self, name: str, start: Tensor, known: bool) -> Pull | None:
        return Pull(self.strength, start) if known else None


def test_a_good_prior_passes() -> None:
    assert check_prior(Hold, strength=2.0) == [
        "it leaves the parameters as they are",
        "strengths are finite and not below 0, anchors finite, both shaped like the parameter",
        "it pulls at 4 of 4 parameters that are known",
        "another build gives the same pulls, in whatever order it is asked",
    ]


class Changes(Hold):
    def pull(self, name: str, start: Tensor, known: bool) -> Pull:
        return Pull(1.0, start.mul_(0.5))


class Number(Hold):
    def pull(self, name: str, start: Tensor, known: bool) -> Pull:
        return 1.0  # type: ignore[return-value]


class Flat(Hold):
    def pull(self, name: str, start: Tensor, known: bool) -> Pull:
        return Pull(1.0, start.flatten())


class Broad(Hold):
    def pull(self, name: str, start: Tensor, known: bool) -> Pull:
        return Pull(torch.ones(1), start)


class Endless(Hold):
    def pull(self, name: str, start: Tensor, known: bool) -> Pull:
        return Pull(1.0, start / 0)


class Pushes(Hold):
    def pull(self, name: str, start: Tensor, known: bool) -> Pull:
        return Pull(-start.abs(), start)


class Unsure(Hold):
    def pull(self, name: str, start: Tensor, known: bool) -> Pull:
        return Pull(float("nan"))


class Learns(Hold):
    def pull(self, name: str, start: Tensor, known: bool) -> Pull:
        return Pull(1.0, start.clone().requires_grad_(True))


class Idle(Hold):
    def pull(self, name: str, start: Tensor, known: bool) -> Pull | None:
        return None if known else Pull(1.0)


class Counts(Hold):
    calls = 0

    def pull(self, name: str, start: Tensor, known: bool) -> Pull:
        self.calls += 1
        return Pull(float(self.calls))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Changes, "pull changes the values that it is given"),
        (Number, r"pull gives 1\.0; expected a fusion\.Pull or None"),
        (Flat, r"layer\.weight is pulled by an anchor of shape \(12,\); expected \(4, 3\)"),
        (Broad, r"layer\.weight is pulled by a strength of shape \(1,\); expected \(4, 3\)"),
        (Endless, r"the anchor of encoders\.image\.layer\.weight is NaN or infinite"),
        (Pushes, r"the strength at encoders\.image\.layer\.weight is -.*; expected finite, and not below 0"),
        (Unsure, r"the strength at encoders\.image\.layer\.weight is nan; expected finite"),
        (Learns, "has a gradient; expected plain numbers"),
        (Idle, "nothing that is known is pulled anywhere"),
        (Counts, r"another build gives another pull for objectives\.kind\.head\.bias"),
        (lambda earlier: object(), r"it builds a object; expected a fusion\.Prior"),
    ],
)
def test_a_bug_is_found(build: type, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_prior(build)
