import math

import pytest
import torch

from fusion.objectives.softplus import softplus_sum

NUMBERS = [-800.0, -100.0, -40.0, -20.0, -3.0, -1e-3, 0.0, 1e-3, 3.0, 20.0, 100.0, 800.0]
LOW = [number for number in NUMBERS if number <= 0]  # which it computes in fewer operations


def one(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.ones(1, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("numbers", [NUMBERS, LOW])
def test_it_is_exact_also_where_it_is_tiny_or_large(numbers: list[float], dtype: torch.dtype) -> None:
    expected = [max(x, 0.0) + math.log1p(math.exp(-abs(x))) for x in numbers]
    found = torch.stack(
        [softplus_sum(torch.tensor([[x]], dtype=dtype), one(dtype), one(dtype)) for x in numbers]
    )
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=dtype), rtol=4 * torch.finfo(dtype).eps, atol=1e-44
    )


@pytest.mark.parametrize("numbers", [NUMBERS, LOW])
def test_its_gradient_is_the_sigmoid(numbers: list[float]) -> None:
    x = torch.tensor([numbers], dtype=torch.float64, requires_grad=True)
    (3 * softplus_sum(x.clone(), one(), torch.ones(len(numbers), dtype=torch.float64))).backward()
    expected = [3 / (1 + math.exp(-x)) if x > -700 else 0.0 for x in numbers]
    torch.testing.assert_close(x.grad, torch.tensor([expected], dtype=torch.float64), rtol=1e-14, atol=1e-300)


def test_rows_and_columns_count_as_often_as_they_say_in_pieces_too() -> None:
    torch.manual_seed(0)
    x = 5 * torch.randn(300, 257, dtype=torch.float64)  # more than are computed at once
    rows, columns = torch.rand(300, dtype=torch.float64), torch.rand(257, dtype=torch.float64)
    mine, plain = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = softplus_sum(mine * 1, rows, columns)
    expected = (torch.logaddexp(plain, torch.zeros_like(plain)) * rows[:, None] * columns).sum()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    found.backward()
    expected.backward()
    torch.testing.assert_close(mine.grad, plain.grad, rtol=1e-12, atol=1e-15)
