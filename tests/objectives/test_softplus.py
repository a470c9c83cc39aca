import math

import pytest
import torch

from fusion.objectives.softplus import softplus_sum

NUMBERS = [-800.0, -100.0, -40.0, -20.0, -3.0, -1e-3, 0.0, 1e-3, 3.0, 20.0, 100.0, 800.0]
LOW = [number for number in NUMBERS if number <= 0]  # which it computes in fewer operations


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("numbers", [NUMBERS, LOW])
def test_it_is_exact_also_where_it_is_tiny_or_large(numbers: list[float], dtype: torch.dtype) -> None:
    expected = [max(x, 0.0) + math.log1p(math.exp(-abs(x))) for x in numbers]
    found = torch.stack([softplus_sum(torch.tensor([[x]], dtype=dtype))[0] for x in numbers])
    torch.testing.assert_close(
        found,
        torch.tensor(expected, dtype=dtype),
        rtol=4 * torch.finfo(dtype).eps,
        atol=torch.finfo(dtype).tiny,
    )


@pytest.mark.parametrize("numbers", [NUMBERS, LOW])
def test_its_gradient_is_the_sigmoid(numbers: list[float]) -> None:
    _, found = softplus_sum(torch.tensor([numbers], dtype=torch.float64))
    expected = [1 / (1 + math.exp(-x)) if x > -700 else 0.0 for x in numbers]
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64), rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("columns", [1, 63, 64, 257])
@pytest.mark.parametrize("sign", [1, -1])
def test_many_at_once_are_the_sum_of_each(columns: int, sign: int) -> None:
    torch.manual_seed(0)
    x = 5 * torch.randn(300, columns, dtype=torch.float64)  # more than are computed at once
    x = x if sign > 0 else -x.abs()
    expected = torch.logaddexp(x, torch.zeros_like(x)).sum()
    torch.testing.assert_close(softplus_sum(x)[0], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", [(4, 4), (4,)])
def test_it_is_weighted_and_shares_of_the_numbers_are_taken_away(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, shares = torch.randn(4, 4, dtype=torch.float64), torch.rand(shape, dtype=torch.float64)
    everywhere = shares if len(shape) == 2 else shares.diag()
    plain = x.clone().requires_grad_()
    found, gradient = softplus_sum(x, 0.5, shares)
    expected = (0.5 * torch.logaddexp(plain, torch.zeros_like(plain)) - everywhere * plain).sum()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    expected.backward()
    torch.testing.assert_close(gradient, plain.grad, rtol=1e-12, atol=1e-15)
