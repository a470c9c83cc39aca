"""Auto-PGD: its check points, its halving, and that it keeps the best it has seen."""

import torch
from torch import Tensor

from fusion.attack import Delta, ascend
from fusion.attacks.apgd import apgd, check_points
from tests.attacks.toys import AUDIO, IMAGE, make


def test_the_check_points_of_a_hundred_steps_are_those_of_the_paper() -> None:
    # p_1 = 0.22, then + max(p_j - p_j-1 - 0.03, 0.06): 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99
    assert sorted(check_points(100)) == [22, 41, 57, 70, 80, 87, 93, 99]


def test_steps_are_halved_so_that_a_narrow_top_is_found() -> None:
    def narrow(delta: Delta) -> Tensor:
        return -(delta[AUDIO] - 0.123).abs().sum(dim=1)

    region = make("linf", 0.1, 1.0)
    few, many = (narrow(apgd(narrow, region, steps=steps)) for steps in (10, 100))
    assert (many > few).all()
    plain = ascend(narrow, region, region.random(), steps=100, size=0.025)
    assert (many > narrow(plain)).all()


def test_the_best_point_of_each_row_is_kept() -> None:
    seen: list[Tensor] = []

    def watched(delta: Delta) -> Tensor:
        value = (9 * delta[AUDIO]).sin().sum(dim=1)
        value = value.index_add(0, torch.tensor([0, 2, 3]), (9 * delta[IMAGE]).cos().flatten(1).sum(1))
        seen.append(value.detach())
        return value

    best = apgd(watched, make("linf", 0.5, 0.5), steps=15)
    assert len(seen) == 16  # the start, and the end of each step
    highest = torch.stack(seen).amax(dim=0)
    torch.testing.assert_close(watched(best), highest)
