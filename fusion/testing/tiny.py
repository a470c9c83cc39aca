"""Build a component as its plugin offers it: with its tiny options, and what it fits to samples."""

from collections.abc import Callable, Sequence
from typing import Any

from fusion import options
from fusion.building import build_component
from fusion.errors import PluginError
from fusion.fitted import fit_options
from fusion.recipe.picks import Pick
from fusion.registry import Offer, Registry


def builder(offer: Offer, registry: Registry) -> Callable[..., Any]:
    """Return what builds a component from its options, and the components that these pick."""
    if not any(option.part for option in offer.component.options().values()):
        return offer.component.resolve()

    def build(*given: Any, **values: Any) -> Any:
        pick = Pick(name=offer.component.name, **values)
        return build_component(registry, offer.kind, pick, "tiny", *given)

    return build


def tiny(offer: Offer, samples: Sequence[Any] = ()) -> dict[str, Any]:
    """Return the tiny options, complete, with those that an encoder fits to raw samples."""
    values, problems = options.check(offer.component, offer.component.tiny, "tiny")
    if problems:
        said = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
        raise PluginError(f"{said}; say in Component(..., tiny={{...}}) how to build it in seconds")
    return values | (fit_options(offer.component, samples, values) if samples else {})
