"""Every registered component keeps the contract of its kind, as `fusion plugins check` sees it."""

import pytest

from fusion import Registry, testing
from fusion.registry import HOOKS, Offer

REGISTRY = Registry()
OFFERS = list(REGISTRY)


def test_there_are_components_of_every_kind() -> None:
    assert {offer.kind for offer in OFFERS} == set(HOOKS)
    assert REGISTRY.faults == []


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: f"{offer.kind}-{offer.component.name}")
def test_it_keeps_the_contract(offer: Offer) -> None:
    passed = testing.check(offer, REGISTRY)
    assert len(passed) >= 4
