"""`l2sp`: what is known to where it started."""

import pytest
import torch

from fusion import Registry
from fusion.build import build_prior
from fusion.errors import RecipeError
from fusion.priors.l2sp import L2Sp
from fusion.recipe.picks import PriorPick


def test_what_is_known_is_pulled_to_its_start_and_what_is_new_is_free() -> None:
    start = torch.tensor([1.0, -2.0])
    prior = L2Sp(None, strength=5.0)
    known = prior.pull("encoders.image.bias", start, known=True)
    assert known is not None
    assert known.strength == 5.0
    assert known.anchor is start
    assert prior.pull("encoders.image.bias", start, known=False) is None


def test_a_strength_of_zero_is_refused(registry: Registry) -> None:
    pick = PriorPick(name="l2sp", strength=0)
    with pytest.raises(RecipeError, match=r"prior\.strength: 0 does not fit \(strength: float = 3\.0\)"):
        build_prior(pick, registry, None)
