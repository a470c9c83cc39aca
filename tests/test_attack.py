"""A region: balls and ranges, steepest ascent, and where a gradient is zero."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fusion.attack import Block, Norm, Region, ascend, gradient

KEY = ("image", "x")
NORMS: list[Norm] = ["linf", "l2"]
NUMBERS = arrays("float32", (2, 3), elements=st.floats(-5, 5, width=32))


def region(norm: Norm, radius: list[float], low: torch.Tensor, high: torch.Tensor) -> Region:
    radii = torch.tensor(radius).reshape(-1, *(1 for _ in low.shape[1:]))
    return Region({KEY: Block(low, high, radii, torch.arange(len(low)))}, norm, torch.arange(len(low)))


def free(norm: Norm, radius: float, rows: int = 2, size: int = 3) -> Region:
    bound = torch.full((rows, size), 100.0)
    return region(norm, [radius] * rows, -bound, bound)


def test_the_projection_on_an_l2_ball_shortens_what_is_too_long_and_nothing_else() -> None:
    delta = torch.tensor([[3.0, 4.0, 0.0], [0.3, 0.4, 0.0]])
    found = free("l2", 1.0).project({KEY: delta})[KEY]
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8, 0.0], [0.3, 0.4, 0.0]]))


def test_the_projection_on_a_cube_cuts_every_number() -> None:
    delta = torch.tensor([[3.0, -4.0, 0.5], [1.0, -1.0, 0.0]])
    found = free("linf", 1.0).project({KEY: delta})[KEY]
    torch.testing.assert_close(found, torch.tensor([[1.0, -1.0, 0.5], [1.0, -1.0, 0.0]]))


@pytest.mark.parametrize("norm", NORMS)
@given(delta=NUMBERS, low=NUMBERS, high=NUMBERS, radius=st.floats(0, 3, width=32))
@settings(max_examples=60)
def test_nothing_leaves_the_ball_or_the_range(norm: Norm, delta, low, high, radius: float) -> None:  # type: ignore[no-untyped-def]
    bounds = (torch.from_numpy(part) for part in (-abs(low), abs(high)))
    within = region(norm, [radius, 0.0], *bounds)
    given_ = {KEY: torch.from_numpy(delta)}
    for found in (within.project(given_), within.random(), within.climb(given_, given_, 7.0)):
        part, block = found[KEY], within.blocks[KEY]
        length = part.abs().amax(1) if norm == "linf" else part.norm(dim=1)
        assert (length <= torch.tensor([radius, 0.0]) * (1 + 1e-6)).all()
        assert (part >= block.low).all()
        assert (part <= block.high).all()
        torch.testing.assert_close(within.project(found)[KEY], part, rtol=1e-6, atol=1e-7)


def test_a_step_goes_along_the_sign_or_along_the_gradient() -> None:
    slope = {KEY: torch.tensor([[3.0, -4.0, 0.0], [1e-30, 0.0, 0.0]])}
    zero = free("linf", 2.0).zero()
    signed = free("linf", 2.0).climb(zero, slope, 0.5)[KEY]
    torch.testing.assert_close(signed, torch.tensor([[1.0, -1.0, 0.0], [1.0, 0.0, 0.0]]))
    scaled = free("l2", 2.0).climb(zero, slope, torch.tensor([0.5, 0.25]))[KEY]
    torch.testing.assert_close(scaled, torch.tensor([[0.6, -0.8, 0.0], [0.5, 0.0, 0.0]]))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("useless", [0.0, float("nan"), float("inf")])
def test_a_gradient_that_is_zero_or_not_finite_moves_nothing(norm: Norm, useless: float) -> None:
    slope = {KEY: torch.full((2, 3), useless)}
    found = free(norm, 1.0).climb({KEY: torch.full((2, 3), 0.1)}, slope, 1.0)[KEY]
    torch.testing.assert_close(found, torch.full((2, 3), 0.1))


def test_random_points_fill_the_ball() -> None:
    square = free("linf", 2.0, rows=4000, size=3).random()[KEY]
    assert square.abs().max() <= 2
    assert abs(square.var() - 4 / 3) < 0.05  # of uniform numbers from -2 to 2
    ball = free("l2", 2.0, rows=4000, size=3).random()[KEY].norm(dim=1)
    assert ball.max() <= 2 + 1e-6
    for share in (0.25, 0.5, 0.75):  # a ball of that share of the volume
        assert abs((ball < 2 * share ** (1 / 3)).float().mean() - share) < 0.04


@pytest.mark.parametrize("norm", NORMS)
def test_padding_changes_no_random_start(norm: Norm) -> None:
    """Two channels, of 3 and 5 numbers in two rows, behind them or before and between them nothing."""
    real = torch.arange(5) < torch.tensor([3, 5])[:, None]
    bound = real[:, None].expand(2, 2, 5) * 100.0
    alone = region(norm, [2.0], -bound[:1, :, :3], bound[:1, :, :3]).random()[KEY]
    for before, after in ((0, 0), (0, 4), (2, 1)):
        wide = torch.nn.functional.pad(bound, (before, after))
        found = region(norm, [2.0, 2.0], -wide, wide).random()[KEY]
        torch.testing.assert_close(found[:1, :, before : before + 3], alone)
        assert not found[wide == 0].any()


def test_a_padded_l2_start_is_uniform_in_the_ball_of_what_is_real() -> None:
    bound = torch.tensor([100.0, 0.0, 100.0, 100.0, 0.0, 0.0, 0.0, 0.0]).expand(4000, 8)
    ball = region("l2", [2.0] * 4000, -bound, bound).random()[KEY].norm(dim=1)
    for share in (0.25, 0.5, 0.75):  # a ball of that share of the volume, in three dimensions
        assert abs((ball < 2 * share ** (1 / 3)).float().mean() - share) < 0.04


def test_the_gradient_of_what_does_not_depend_on_the_input_is_zero() -> None:
    value, slope = gradient(lambda delta: torch.tensor([1.0, 2.0]), free("l2", 1.0).zero())
    assert value.tolist() == [1, 2]
    assert slope[KEY].tolist() == [[0, 0, 0], [0, 0, 0]]


def test_the_gradient_is_of_each_row_and_known_without_gradients_around() -> None:
    with torch.no_grad():
        value, slope = gradient(
            lambda delta: (delta[KEY] ** 2).sum(1), {KEY: torch.tensor([[1.0, 2.0, 0.0]])}
        )
    assert value.tolist() == [5]
    assert not value.requires_grad
    assert slope[KEY].tolist() == [[2, 4, 0]]


def test_ascent_climbs_to_the_top_inside() -> None:
    top = torch.tensor([[0.3, -0.2, 0.1]])
    within = free("l2", 1.0, rows=1)
    found = ascend(lambda delta: -((delta[KEY] - top) ** 2).sum(1), within, within.zero(), 300, 0.004)
    torch.testing.assert_close(found[KEY], top, atol=5e-3, rtol=0)
