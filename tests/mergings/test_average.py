"""The weighted mean, and what all sums of tensors keep."""

from collections.abc import Callable

import pytest
import torch

from fusion import Merging, Stored, blend

Put = Callable[..., list[Stored]]
Build = Callable[..., Merging]


def test_weights_are_shares(build: Build, put: Put) -> None:
    average = build("average")
    assert average.weigh([], 3) == [1 / 3] * 3
    assert average.weigh([1, 1, 2], 3) == [0.25, 0.25, 0.5]
    tensors = put([1.0, 2.0], [3.0, 4.0], [7.0, -1.0])
    assert average.merge("x", tensors, [0.25, 0.25, 0.5], None).tolist() == [4.5, 1.0]


@pytest.mark.parametrize("given", [[1.0], [1.0, 2.0, 3.0], [-1.0, 2.0], [0.0, 0.0], [float("nan"), 1.0]])
def test_other_weights_are_refused(given: list[float], build: Build) -> None:
    with pytest.raises(ValueError, match=r"weights are .*; give each of the 2 runs one, none below 0"):
        build("average").weigh(given, 2)


def test_the_mean_of_equal_tensors_is_that_tensor_to_the_bit(build: Build, put: Put) -> None:
    tensor = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    average = build("average")
    for runs in (2, 3, 7):
        assert torch.equal(average.merge("x", put(*[tensor] * runs), average.weigh([], runs), None), tensor)


def test_nothing_of_a_tensor_with_weight_zero_comes_through(put: Put) -> None:
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    mine, other = put(odd, torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert blend([mine, other], [0.0, 1.0]).tolist() == [1, 2, 3, 4]
    kept = blend([mine, other], [1.0, 0.0])
    assert kept.view(torch.int32).tolist() == odd.view(torch.int32).tolist()  # bits, NaN and -0 too


def test_half_precision_is_summed_up_in_more(put: Put) -> None:
    # in bf16, 256 + 1 is 256; the mean of 256, 1, 1, 1, 1 is 52
    tensors = put(*(torch.tensor([number]).bfloat16() for number in (256.0, 1.0, 1.0, 1.0, 1.0)))
    merged = blend(tensors, [0.2] * 5)
    assert (merged.dtype, merged.item()) == (torch.bfloat16, 52.0)
