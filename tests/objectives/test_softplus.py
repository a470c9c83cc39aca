import math

import pytest
import torch

from fusion.objectives.softplus import softplus

NUMBERS = [-800.0, -100.0, -40.0, -20.0, -3.0, -1e-3, 0.0, 1e-3, 3.0, 20.0, 100.0, 800.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_exact_also_where_it_is_tiny_or_large(dtype: torch.dtype) -> None:
    expected = [max(x, 0.0) + math.log1p(math.exp(-abs(x))) for x in NUMBERS]
    found = softplus(torch.tensor(NUMBERS, dtype=dtype))
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=dtype), rtol=4 * torch.finfo(dtype).eps, atol=1e-44
    )


def test_its_gradient_is_the_sigmoid() -> None:
    x = torch.tensor(NUMBERS, dtype=torch.float64, requires_grad=True)
    (3 * softplus(x)).sum().backward()
    expected = [3 / (1 + math.exp(-x)) if x > -700 else 0.0 for x in NUMBERS]
    torch.testing.assert_close(x.grad, torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=1e-300)
