"""`l2`: everything to zero."""

import torch

from fusion.priors.l2 import L2


def test_everything_is_pulled_to_zero_by_one_strength() -> None:
    prior = L2(None, strength=0.3)
    for name, value, known in (
        ("encoders.image.w", torch.ones(2, 2), True),
        ("fuser.b", torch.ones(2), False),
    ):
        assert prior.pull(name, value, known) == (0.3, None)
