"""Between two models, on an arc."""

import math
from collections.abc import Callable

import pytest
import torch

from fusion import Merging, Stored
from fusion.tensors import SPAN

Put = Callable[..., list[Stored]]
Build = Callable[..., Merging]


@pytest.mark.parametrize("alpha", [0.25, 1 / 3, 0.5])
def test_it_turns_at_the_same_speed(alpha: float, build: Build, put: Put) -> None:
    slerp, tensors = build("slerp"), put([2.0, 0.0], [0.0, 2.0])
    merged = slerp.merge("x", tensors, slerp.weigh([alpha], 2), None)
    angle = alpha * math.pi / 2
    torch.testing.assert_close(merged, torch.tensor([2 * math.cos(angle), 2 * math.sin(angle)]))


def test_lengths_are_interpolated_with_the_angle(build: Build, put: Put) -> None:
    # 60 degrees between (1, 0) and (2, 2 sqrt 3); half way both have the factor 1 / sqrt 3
    merged = build("slerp").merge("x", put([1.0, 0.0], [2.0, 2 * math.sqrt(3)]), [0.5, 0.5], None)
    torch.testing.assert_close(merged, torch.tensor([math.sqrt(3), 2.0]))


@pytest.mark.parametrize("other", [[2.0, 2.0001], [-1.0, -1.0], [0.0, 0.0]])
def test_nearly_parallel_opposite_and_zero_tensors_go_on_a_line(
    other: list[float], build: Build, put: Put
) -> None:
    merged = build("slerp").merge("x", put([1.0, 1.0], other), [0.75, 0.25], None)
    torch.testing.assert_close(merged, 0.75 * torch.ones(2) + 0.25 * torch.tensor(other))


def test_the_angle_is_that_of_the_whole_tensor(build: Build, put: Put) -> None:
    first, second = torch.zeros(SPAN + 1), torch.zeros(SPAN + 1)
    first[0], second[-1] = 1.0, 1.0  # in different parts
    merged = build("slerp").merge("x", put(first, second), [0.5, 0.5], None)
    assert merged[0].item() == pytest.approx(math.sqrt(0.5))
    assert merged[-1].item() == pytest.approx(math.sqrt(0.5))
