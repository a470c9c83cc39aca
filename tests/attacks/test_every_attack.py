"""On a linear model the worst is known in closed form, and every attack finds it."""

import math

import pytest
import torch
from torch import Tensor

from fusion import Registry
from fusion.attack import Attack, Delta, Norm
from fusion.build import build_attack
from fusion.recipe.picks import AttackPick
from tests.attacks.toys import AUDIO, IMAGE, make

REGISTRY = Registry()
TWENTY = [AttackPick(name=name, steps=20) for name in ("pgd", "apgd")]  # their own step sizes
NORMS: list[Norm] = ["linf", "l2"]
STEPS = {"fgsm": {}, "pgd": {"steps": 20, "size": 1.0}, "apgd": {"steps": 40}}


def attack(name: str, **changes: int) -> Attack:
    return build_attack(AttackPick(name=name, **STEPS[name] | changes), "attack", REGISTRY)


def weights(key: tuple[str, str]) -> Tensor:
    """Return the weights of each row: no two alike, none near 0."""
    shape = (3, 3, 2, 2) if key == IMAGE else (4, 7)
    count = math.prod(shape)
    return torch.linspace(0.5, 2, count).reshape(shape) * (-1.0) ** torch.arange(count).reshape(shape)


def linear(delta: Delta) -> Tensor:
    """Return w . x of a model that reads images and sounds."""
    image = (delta[IMAGE] * weights(IMAGE)).flatten(1).sum(1)
    sound = (delta[AUDIO] * weights(AUDIO)).sum(1)
    return sound.index_add(0, torch.tensor([0, 2, 3]), image)


def worst(norm: Norm, image: float, audio: float) -> Tensor:
    """Return the radius times the dual norm of the weights: ||w||_1 for L-inf, ||w||_2 for L2."""
    dual = 1 if norm == "linf" else 2
    shift = [audio * torch.linalg.vector_norm(row, dual) for row in weights(AUDIO)]
    for place, row in zip((0, 2, 3), weights(IMAGE), strict=True):
        shift[place] = shift[place] + image * torch.linalg.vector_norm(row, dual)
    return torch.stack(shift)


def test_all_builtin_attacks_are_tested_here() -> None:
    builtin = {offer.component.name for offer in REGISTRY if offer.origin.plugin == "builtin"}
    assert builtin & set(REGISTRY.names("attack")) == set(STEPS)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", STEPS)
def test_a_linear_model_is_shifted_by_the_radius_times_the_dual_norm(name: str, norm: Norm) -> None:
    found = linear(attack(name)(linear, make(norm, 0.1, 0.3)))
    torch.testing.assert_close(found, worst(norm, 0.1, 0.3), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", STEPS)
def test_under_linf_the_range_of_samples_bounds_every_number(name: str) -> None:
    found = linear(attack(name)(linear, make("linf", 0.1, 0.3, bound=0.2)))
    torch.testing.assert_close(found, worst("linf", 0.1, 0.2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", STEPS)
def test_a_radius_of_zero_changes_no_bit(name: str, norm: Norm) -> None:
    found = attack(name)(linear, make(norm, 0.0, 0.0))
    assert all(not part.any() for part in found.values())


@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_no_steps_change_no_bit(name: str) -> None:
    found = attack(name, steps=0)(linear, make("linf"))
    assert all(not part.any() for part in found.values())


@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_another_seed_starts_elsewhere(name: str) -> None:
    first, second = (attack(name, steps=1)(hilly, make("linf", seed=seed)) for seed in (0, 1))
    assert not torch.equal(first[AUDIO], second[AUDIO])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("radius", [0.1, 0.5, 1.0])
def test_the_one_that_adapts_is_at_least_as_strong_at_equal_steps(norm: Norm, radius: float) -> None:
    """On a small network that is not linear, in the mean over ten starts of four rows."""
    gains = []
    for seed in range(10):
        region = make(norm, radius, 1.5 * radius, seed=seed)
        plain, adapting = (hilly(build_attack(one, "attack", REGISTRY)(hilly, region)) for one in TWENTY)
        gains.append(adapting - plain)
    assert torch.cat(gains).mean() >= 0


def hilly(delta: Delta) -> Tensor:
    """Return the answer of a small random network with several summits."""
    generator = torch.Generator().manual_seed(0)
    first, second, third = (torch.randn(size, generator=generator) for size in ((19, 32), (32, 32), (32,)))
    image = torch.zeros(4, 12).index_add(0, torch.tensor([0, 2, 3]), delta[IMAGE].flatten(1))
    hidden = (torch.cat([image, delta[AUDIO]], dim=1) @ first).tanh()
    return (hidden @ second / 4).tanh() @ third
