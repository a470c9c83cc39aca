"""Random numbers follow from their keys alone, and are distributed as they say."""

import pytest
import torch

from fusion.noise import keyed, normal, uniform


def test_equal_keys_have_equal_numbers_and_others_have_others() -> None:
    keys = keyed(3, 0, torch.tensor([0, 0, 1, 0]), torch.tensor([5, 6, 5, 5]))
    numbers = uniform(keys, 100)
    torch.testing.assert_close(numbers[0], numbers[3], rtol=0, atol=0)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(torch.corrcoef(numbers[[one, other]])[0, 1]) < 0.4
    torch.testing.assert_close(uniform(keys[1:2], 100)[0], numbers[1], rtol=0, atol=0)
    assert not torch.equal(uniform(keys, 100, salt=1), numbers)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_every_part_of_a_key_counts(part: int) -> None:
    parts = [2**40 + 1, -7, 12]
    other = [number + (place == part) for place, number in enumerate(parts)]
    assert keyed(*parts) != keyed(*other)


def test_numbers_are_uniform_and_rows_do_not_resemble_each_other() -> None:
    numbers = uniform(keyed(0, torch.arange(200)), 500).double()
    assert 0 <= numbers.min() < 1e-4
    assert 1 - 1e-4 < numbers.max() <= 1
    # ten cells of 10,000 numbers each on average: five deviations of the count are 474
    counts = torch.histc(numbers, bins=10, min=0, max=1)
    assert (counts - 10_000).abs().max() < 474
    # correlations of 500 numbers have a deviation of 1 / sqrt(500)
    related = torch.corrcoef(numbers) - torch.eye(200)
    assert related.abs().max() < 5.5 / 500**0.5


def test_normal_numbers_have_the_moments_of_the_normal_distribution() -> None:
    numbers = normal(keyed(0, torch.arange(200)), 500).double()
    assert abs(numbers.mean()) < 5 / 1e5**0.5
    assert abs(numbers.var() - 1) < 5 * (2 / 1e5) ** 0.5
    assert abs((numbers**4).mean() - 3) < 5 * (96 / 1e5) ** 0.5
    assert numbers.abs().max() < 5
