"""A registry, recipes and models over the toy modalities."""

from collections.abc import Callable
from functools import partial

import pytest

from fusion import Model, Recipe, Registry
from tests.evaluation.toys import model, recipe, registry


@pytest.fixture(scope="session")
def toys() -> Registry:
    return registry()


@pytest.fixture(scope="session")
def toy_recipe(toys: Registry) -> Callable[..., Recipe]:
    return partial(recipe, toys)


@pytest.fixture(scope="session")
def toy_model(toys: Registry) -> Callable[[Recipe], Model]:
    return partial(model, registry=toys)
