"""Matrices as integers and scales: values by hand, and what rounding may cost at most."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fusion.quantization.nibbles import Nibbles
from fusion.quantization.rounding import TINY, Bytes, Form, straight

FORMS = [Bytes(), Nibbles(8), Nibbles(32)]
each = pytest.mark.parametrize("form", FORMS, ids=["int8", "int4-8", "int4-32"])


def steps(form: Form, weight: Tensor) -> Tensor:
    """Return what one step of the code of each element is worth, by the parts that are kept."""
    parts = form.encode(weight)
    scale = parts["scale"].double()[:, None].expand(weight.shape)
    if not isinstance(form, Nibbles):
        return scale
    factor = parts["factor"].double().repeat_interleave(form.group, 1)[:, : weight.shape[1]]
    return scale * factor


def test_bytes_by_hand() -> None:
    weight = torch.tensor([[127.0, -64.4, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0], [-2.54, 1.0, 0.011, 2.0]])
    parts = Bytes().encode(weight)
    assert parts["int8"].tolist() == [[127, -64, 0, 0], [0, 0, 0, 0], [-127, 50, 1, 100]]
    torch.testing.assert_close(parts["scale"], torch.tensor([1.0, TINY, 0.02]))
    floats = Bytes().integers(parts, weight.shape).floats()
    torch.testing.assert_close(floats, torch.tensor([[127.0, -64, 0, 0], [0, 0, 0, 0], [-2.54, 1, 0.02, 2]]))


def test_nibbles_by_hand() -> None:
    """The largest, 126, is 7 * 18 * 1; the second group reaches 20: its factor is the next of 20 / 7, 3."""
    weight = torch.tensor([[126.0, -126, 18, 8.9, 9.1, 0, 0, 0, 20, -20, 3, 1.4, 1.6, 0, 0, 0, 5]])
    parts = Nibbles(8).encode(weight)
    assert parts["scale"].tolist() == [1.0]
    assert parts["factor"].tolist() == [[18, 3, 1]]
    codes = [7, -7, 1, 0, 1, 0, 0, 0, 7, -7, 1, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]
    packed = [low + 8 | (high + 8) << 4 for low, high in zip(codes[::2], codes[1::2], strict=True)]
    assert parts["int4"].tolist() == [packed]
    integers = Nibbles(8).integers(parts, weight.shape)
    expected = [126, -126, 18, 0, 18, 0, 0, 0, 21, -21, 3, 0, 3, 0, 0, 0, 5]
    assert integers.codes.tolist() == [expected]


@each
def test_a_weight_of_any_shape_comes_back_in_it(form: Form) -> None:
    for shape in [(3, 5), (4, 3, 7), (2, 3, 5, 5), (1, 1)]:
        weight = torch.randn(shape)
        assert form.integers(form.encode(weight), weight.shape).codes.shape == shape


def floats(most: float) -> st.SearchStrategy[float]:
    end = float(np.float32(most))
    return st.floats(-end, end, width=32)


numbers = st.one_of(floats(1), st.just(0.0), floats(1e-38), floats(1e38))  # also subnormal ones
rows = st.one_of(
    st.lists(numbers, min_size=19, max_size=19),
    numbers.map(lambda constant: [constant] * 19),
    st.lists(floats(1e-3), min_size=18, max_size=18).map(lambda small: [*small, 1e4]),
)


@each
@settings(deadline=None, max_examples=150)
@given(values=st.lists(rows, min_size=1, max_size=4))
def test_an_element_is_off_by_half_a_step_at_most(form: Form, values: list[list[float]]) -> None:
    """In exact arithmetic; before, w / scale, up to 127, is rounded in fp32, by some 127 * 2 ** -24 steps."""
    weight = torch.tensor(values)
    floats = form.integers(form.encode(weight), weight.shape)
    exact = floats.codes.double() * floats.scale.double()[:, None]
    assert ((weight.double() - exact).abs() <= (0.5 + 127 * 2**-22) * steps(form, weight)).all()
    assert torch.equal(floats.floats()[weight == 0], torch.zeros(int((weight == 0).sum())))


@each
@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_refused(form: Form, bad: float) -> None:
    weight = torch.ones(3, 8)
    weight[1, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        form.encode(weight)


def test_bytes_stay_when_they_are_rounded_again() -> None:
    once = Bytes().rounded(torch.randn(6, 40))
    torch.testing.assert_close(Bytes().rounded(once), once, rtol=1e-6, atol=0)


@each
def test_the_gradient_goes_through_unchanged(form: Form) -> None:
    weight = torch.randn(3, 10, requires_grad=True)
    gradient = torch.randn(3, 10)
    form.rounded(weight).backward(gradient)
    assert weight.grad is not None
    assert torch.equal(weight.grad, gradient)


def test_a_substitute_has_its_own_bits_and_the_gradient_of_the_other() -> None:
    rough = torch.tensor([1.0, 2.0], requires_grad=True)
    exact = torch.tensor([0.1, 1e20])
    found = straight(exact, rough * 3)
    assert torch.equal(found, exact)
    found.sum().backward()
    assert rough.grad is not None
    assert rough.grad.tolist() == [3.0, 3.0]


def test_four_bits_take_an_eighth_of_the_bytes_and_a_sixteenth_more() -> None:
    parts = Nibbles(32).encode(torch.from_numpy(np.random.default_rng(0).normal(size=(64, 320))))
    assert parts["int4"].nbytes == 64 * 320 // 2
    assert parts["factor"].nbytes == 64 * 10
    assert parts["scale"].nbytes == 64 * 4
