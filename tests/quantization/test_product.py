"""Products of integers are exact, by every kernel; what is rounded depends on nothing beside."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.quantization import product
from fusion.quantization.product import convolution, in_floats, linear, multiply


def random(*shape: int) -> Tensor:
    return torch.randint(-127, 128, shape, dtype=torch.int8)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 7, 5), (17, 16, 8), (64, 128, 384), (2, 3000, 4), (0, 4, 3)]
)
def test_products_are_exact_by_every_kernel(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    one, other = random(m, k), random(k, n)
    expected = one.long() @ other.long()
    assert torch.equal(multiply(one, other).long(), expected)
    assert torch.equal(in_floats(one, other).long(), expected)


@pytest.mark.parametrize("k", [1023, 1024, 1025, 4096])
def test_the_largest_sums_are_exact(k: int) -> None:
    one, other = torch.full((2, k), 127, dtype=torch.int8), torch.full((k, 3), -127, dtype=torch.int8)
    other[0] = -126  # an odd sum, which fp32 loses above 2 ** 24
    expected = torch.full((2, 3), -127 * 127 * k + 127, dtype=torch.int32)
    assert torch.equal(in_floats(one, other), expected)
    assert torch.equal(multiply(one, other), expected)


def test_without_the_kernel_the_numbers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, codes, scale = torch.randn(9, 40), random(40, 16), torch.rand(16)
    expected = linear(x, codes, scale, None)
    called = []
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: called.append(1))
    monkeypatch.setattr(torch, "_int_mm", None)
    assert torch.equal(linear(x, codes, scale, None), expected)
    assert called == [1]


def test_autocast_leaves_the_products_exact() -> None:
    one, other = random(5, 300), random(300, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(in_floats(one, other).long(), one.long() @ other.long())


def test_a_linear_layer_by_hand() -> None:
    """The first row has a step of 1 and the codes 127, -3; the second one of 0.01 and 100, 127."""
    x = torch.tensor([[127.0, -3.2], [1.0, 1.27], [0.0, 0.0]])
    codes = torch.tensor([[10, -1], [5, 2]], dtype=torch.int8)  # (k, out)
    scale, bias = torch.tensor([0.5, 2.0]), torch.tensor([1.0, 0.0])
    expected = torch.tensor([[0.5 * 1255 + 1, 2 * -133], [0.5 * 16.35 + 1, 2 * 1.54], [1.0, 0.0]])
    torch.testing.assert_close(linear(x, codes, scale, bias), expected)


def test_a_row_is_the_same_in_any_batch_and_keeps_its_nan_to_itself() -> None:
    x, codes, scale = torch.randn(50, 24), random(24, 7), torch.rand(7)
    x[3] *= 1e4
    x[4, 2] = torch.nan
    x[5, 2] = torch.inf
    together = linear(x, codes, scale, None)
    for row in (0, 3, 49):
        assert torch.equal(linear(x[row], codes, scale, None), together[row])
    assert together[[4, 5]].isnan().all()
    assert together[[0, 3, 6]].isfinite().all()


def test_more_axes_and_other_types_are_those_of_the_input() -> None:
    x, codes, scale = torch.randn(2, 3, 8), random(8, 5), torch.rand(5)
    flat = linear(x.view(6, 8), codes, scale, None)
    assert torch.equal(linear(x, codes, scale, None), flat.view(2, 3, 5))
    half = linear(x.bfloat16(), codes, scale, None)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), flat.view(2, 3, 5), rtol=0.02, atol=2.0)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize(
    ("size", "stride", "padding", "dilation"),
    [(3, 1, 1, 1), (5, 2, 2, 1), (1, 1, 0, 1), (3, 2, 0, 2), (4, 4, 0, 1), (2, 3, 3, 1)],
)
def test_a_convolution_is_that_of_the_rounded_numbers(
    axes: int, size: int, stride: int, padding: int, dilation: int
) -> None:
    x = torch.randn(3, 5, *[13, 11][:axes])
    codes, scale, bias = random(6, 5, *[size] * axes), torch.rand(6), torch.randn(6)
    found = convolution(x, codes, scale, bias, (stride,) * axes, [padding] * 2 * axes, (dilation,) * axes)
    largest = x.abs().flatten(1).amax(1).view(3, *[1] * (axes + 1))
    rounded = (x / (largest / 127)).round().double() * (largest.double() / 127)
    weight = codes.double() * scale.double().view(-1, *[1] * (axes + 1))
    convolve = F.conv1d if axes == 1 else F.conv2d
    expected = convolve(rounded, weight, bias.double(), stride, padding, dilation)
    assert found.is_contiguous()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


def test_a_sample_of_a_convolution_is_the_same_in_any_batch() -> None:
    x, codes, scale = torch.randn(4, 3, 9), random(5, 3, 3), torch.rand(5)
    x[2] *= 100
    options = ((1,), [1, 1], (1,))
    together = convolution(x, codes, scale, None, *options)
    for row in range(4):
        assert torch.equal(convolution(x[row : row + 1], codes, scale, None, *options)[0], together[row])


def test_rounded_activations_are_those_that_are_multiplied() -> None:
    x = torch.randn(5, 12, requires_grad=True)
    rounded = product.rounded(x, 1)
    step = x.detach().abs().amax(1, keepdim=True) / 127
    torch.testing.assert_close(rounded, (x / step).round() * step)
    rounded.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones(5, 12))
