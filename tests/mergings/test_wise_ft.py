"""Between two models, on a line."""

from collections.abc import Callable

import pytest
import torch

from fusion import Merging, Stored

Put = Callable[..., list[Stored]]
Build = Callable[..., Merging]


def test_alpha_goes_from_the_first_to_the_second(build: Build, put: Put) -> None:
    wise, tensors = build("wise-ft"), put([0.0, 8.0], [4.0, -8.0])
    found = [
        wise.merge("x", tensors, wise.weigh([alpha], 2), None).tolist() for alpha in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert found == [[0, 8], [1, 4], [2, 0], [3, -4], [4, -8]]
    assert wise.weigh([], 2) == [0.5, 0.5]


@pytest.mark.parametrize("method", ["wise-ft", "slerp"])
def test_the_ends_are_the_two_models_bit_for_bit(method: str, build: Build, put: Put) -> None:
    wise, tensors = build(method), put([float("nan"), -0.0, 0.1], [0.3, float("inf"), -0.0])
    for alpha, tensor in zip((0, 1), tensors, strict=True):
        merged = wise.merge("x", tensors, wise.weigh([alpha], 2), None)
        assert merged.view(torch.int32).tolist() == tensor.whole().view(torch.int32).tolist()


@pytest.mark.parametrize("method", ["wise-ft", "slerp"])
@pytest.mark.parametrize(
    ("given", "runs"), [([0.5], 3), ([0.5], 1), ([-0.1], 2), ([1.1], 2), ([0.5, 0.5], 2)]
)
def test_another_number_of_runs_and_other_alphas_are_refused(
    method: str, given: list[float], runs: int, build: Build
) -> None:
    with pytest.raises(ValueError, match=r"by one number from 0 to 1; here are \d runs, and as weights"):
        build(method).weigh(given, runs)
