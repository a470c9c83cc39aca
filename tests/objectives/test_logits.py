import pytest
import torch
from torch import Tensor

from fusion.objectives.logits import Found, sum_over_logits

X = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]], dtype=torch.float64)
Y = torch.tensor([[2.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 4.0], [1.0, 0.0, 0.0]], dtype=torch.float64)


def squares(logits: Tensor) -> Found:
    value = logits.square().sum()
    return value, logits.mul_(2)  # in their place


def leaves(x: Tensor, y: Tensor) -> list[Tensor]:
    log_scale, bias = torch.tensor([0.5], dtype=x.dtype), torch.tensor([-1.5], dtype=x.dtype)
    return [part.clone().requires_grad_() for part in (x, y, log_scale, bias)]


@pytest.mark.parametrize("factor", [1.0, 3.0])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(("x", "y"), [(X, Y), (Y, X), (X[:, :1], Y[:, :1])])
def test_gradients_are_those_of_the_sum_written(x: Tensor, y: Tensor, biased: bool, factor: float) -> None:
    ours, plain = leaves(x, y)[: 4 if biased else 3], leaves(x, y)[: 4 if biased else 3]
    found = sum_over_logits(squares, *ours)
    logits = plain[2].exp() * (plain[0] @ plain[1].T) + (plain[3] if biased else 0)
    expected = logits.square().sum()
    torch.testing.assert_close(found, expected)
    (factor * found).backward(retain_graph=True)
    (factor * found).backward()  # and are as good a second time
    (2 * factor * expected).backward()
    for mine, theirs in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_what_learns_nothing_gets_no_gradient() -> None:
    x, y, log_scale, bias = leaves(X, Y)
    sum_over_logits(squares, x, y.detach(), log_scale.detach(), bias.detach()).backward()
    assert x.grad is not None
    assert (y.grad, log_scale.grad, bias.grad) == (None, None, None)


def test_it_has_no_second_derivative() -> None:
    x, y, log_scale, _ = leaves(X, Y)
    value = sum_over_logits(squares, x, y, log_scale).square()
    (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
