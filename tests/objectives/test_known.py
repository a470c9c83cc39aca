import pytest
import torch

from fusion.objectives.known import with_gradient


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_a_value_hands_out_the_gradient_that_it_was_given(factor: float) -> None:
    x = torch.tensor([[1.0, -2.0]], requires_grad=True)
    value = with_gradient(torch.tensor(5.0), x, torch.tensor([[4.0, 0.5]]))
    assert value == 5
    (factor * value).backward(retain_graph=True)
    (factor * value).backward()  # and is as good a second time
    assert x.grad.tolist() == [[8 * factor, factor]]


def test_it_has_no_second_derivative() -> None:
    x = torch.ones(2, requires_grad=True)
    value = with_gradient(x.detach().sum(), x, torch.ones(2))
    (gradient,) = torch.autograd.grad(value.square(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
