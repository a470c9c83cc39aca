"""The nearest matrix of a rank, by an independent decomposition and in closed form."""

from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fusion import Compression, Registry
from fusion.compressions.low_rank import Product
from fusion.testing.trial_model import trial_model

LAYER = "encoders.audio.body.0"


def build(energy: float) -> Compression:
    return cast(Compression, Registry().find("compression", "low-rank").component.resolve()(energy=energy))


def weight(part: nn.Module) -> Tensor:
    return cast(Tensor, part.weight)


def ranks(values: list[float], energy: float) -> tuple[dict[str, int], Tensor, Tensor]:
    """Give a layer, (64, 16), a weight of these singular values; return the ranks, it, and what it became."""
    model = trial_model(0)
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((size, 16)))[0] for size in (64, 16))
    given = torch.from_numpy(left[:, : len(values)] * values @ right.T[: len(values)]).float()
    with torch.no_grad():
        weight(model.get_submodule(LAYER)).copy_(given)
        found = build(energy).apply(model.eval())["ranks"]
    return found, given, weight(model.get_submodule(LAYER)).detach()


@pytest.mark.parametrize(
    ("energy", "rank"),
    [(0.5, 1), (0.78, 1), (0.8, 2), (0.98, 2), (0.99, 3), (0.999, 3)],  # 16 + 4 + 0.25: 79, 98.8 and 100 %
)
def test_the_rank_is_the_least_that_keeps_the_energy(energy: float, rank: int) -> None:
    found, given, became = ranks([4.0, 2.0, 0.5], energy)
    assert found[LAYER] == rank
    u, s, v = np.linalg.svd(given.double().numpy())
    expected = (u[:, :rank] * s[:rank]) @ v[:rank]
    assert np.allclose(became.numpy(), expected, atol=1e-5)


def test_the_error_is_the_singular_value_that_is_left_out() -> None:
    found, given, became = ranks([4.0, 2.0, 0.5], 0.9)
    assert found[LAYER] == 2
    assert torch.linalg.matrix_norm(given - became).item() == pytest.approx(0.5, rel=1e-4)


def test_a_layer_that_would_not_become_smaller_stays() -> None:
    # 12 * (64 + 16) = 960 numbers are fewer than 1024, 13 * 80 = 1040 are more
    assert ranks([1.0] * 12, 0.9999)[0][LAYER] == 12
    with pytest.raises(ValueError, match=r"no linear layer becomes smaller at energy=0\.9999; lower it"):
        ranks([1.0] * 13, 0.9999)


@torch.no_grad()
def test_each_application_records_what_it_has_made() -> None:
    model, fresh = trial_model(0).eval(), trial_model(1).eval()
    first, second = (build(energy).apply(model) for energy in (0.9, 0.3))
    assert first["ranks"].keys() & second["ranks"].keys() == set()
    products = {name for name, part in model.named_modules() if isinstance(part, Product)}
    assert first["ranks"].keys() | second["ranks"].keys() == products
    assert min(len(first["ranks"]), len(second["ranks"])) > 0
    for record in (first, second):
        build(0.5).restore(fresh, record)
    fresh.load_state_dict(model.state_dict())
    with pytest.raises(ValueError, match=r"no linear layer becomes smaller at energy=0\.3; lower it"):
        build(0.3).apply(model)


def test_each_of_two_records_what_it_has_made_before_a_training() -> None:
    model = trial_model(0).eval()
    both = [build(energy) for energy in (0.9, 0.3)]
    for step in (0, 0, 1):
        for compression in both:
            compression.prepare(model, step, 2)
    once, twice = trial_model(0).eval(), [compression.apply(model) for compression in both]
    assert twice == [build(energy).apply(once) for energy in (0.9, 0.3)]


def test_what_did_not_learn_does_not_learn_as_factors() -> None:
    model = trial_model(0)
    model.encoders["audio"].requires_grad_(False)
    build(0.5).prepare(model, 0, 3)
    learning = {name for name, part in model.named_parameters() if part.requires_grad}
    assert f"{LAYER}.into" in dict(model.named_parameters())
    assert not {name for name in learning if name.startswith("encoders.audio")}
    assert "fuser.join.0.into" in learning
