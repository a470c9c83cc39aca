"""Which numbers stay is decided exactly, and in the same way each time."""

import numpy as np
import pytest
import torch

from fusion.compressions.masks import cubic, largest


def kept(*tensors: list[float], sparsity: float) -> list[list[bool]]:
    return [mask.tolist() for mask in largest([torch.tensor(tensor) for tensor in tensors], sparsity)]


def test_the_numbers_nearest_to_zero_go() -> None:
    assert kept([3.0, -1.0, 2.0, -2.5, 0.5], sparsity=0.4) == [[True, False, True, True, False]]


def test_of_equal_numbers_the_first_go() -> None:
    assert kept([1.0, -1.0, 1.0, 2.0], sparsity=0.5) == [[False, False, True, True]]


def test_tensors_are_ranked_together_or_each_alone() -> None:
    small, large = [0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]
    assert kept(small, large, sparsity=0.25) == [[False, False, True, True], [True] * 4]
    assert kept(small, sparsity=0.25) + kept(large, sparsity=0.25) == [[False, True, True, True]] * 2


def test_a_tensor_keeps_its_largest_number_though_others_have_larger_ones() -> None:
    masks = kept([0.1, -0.2], [1.0, 2.0, 3.0, 4.0], sparsity=0.5)
    assert masks == [[False, True], [False, False, True, True]]
    assert kept([0.1, -0.2], [1.0, 2.0], sparsity=0.999) == [[False, True], [False, True]]
    assert kept([0.0], [0.0, 0.0], sparsity=0.9) == [[True], [True, False]]


def test_nothing_goes_at_sparsity_zero() -> None:
    assert kept([0.0, 0.0], [1.0], sparsity=0.0) == [[True, True], [True]]


@pytest.mark.parametrize("sparsity", [0.1, 0.29, 0.5, 0.73, 0.999])
def test_it_agrees_with_a_stable_sort(sparsity: float) -> None:
    numbers = np.random.default_rng(0).integers(-9, 10, (3, 40)).astype(np.float32)  # many are equal
    masks = largest([torch.from_numpy(row) for row in numbers], sparsity)
    sizes = np.abs(numbers)
    sizes[np.arange(3), sizes.argmax(1)] = np.inf
    gone = np.argsort(sizes.ravel(), kind="stable")[: min(round(sparsity * 120), 117)]
    expected = np.ones(120, bool)
    expected[gone] = False
    assert torch.stack(masks).flatten().tolist() == expected.tolist()


def test_the_schedule_is_that_of_the_paper() -> None:
    assert [cubic(0.8, progress) for progress in (0, 0.5, 1, 2)] == pytest.approx([0, 0.7, 0.8, 0.8])
