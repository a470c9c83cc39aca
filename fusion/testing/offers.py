"""Check a component as a plugin offers it, on its tiny build."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fusion import options
from fusion.batch import Source
from fusion.errors import FusionError, PluginError
from fusion.registry import Offer, Registry
from fusion.testing.encoders import check_encoder
from fusion.testing.expect import expect
from fusion.testing.fusers import check_fuser
from fusion.testing.objectives import check_objective
from fusion.testing.sources import check_source

SAMPLES = 6
LOOKED_AT = 64  # rows of a source, for samples whose sizes differ


def check(offer: Offer, registry: Registry | None = None) -> list[str]:
    """Check a component with its tiny options; return what passed.

    The samples for an encoder come from a source in the registry: one of its own plugin, if that has
    some. Raises PluginError that names the component, its plugin, the distribution and its version.
    """
    with _blaming(offer):
        return CHECKS[offer.kind](offer, registry or Registry())


def _check_encoder(offer: Offer, registry: Registry) -> list[str]:
    samples = _samples(offer, registry)
    return check_encoder(offer.component.resolve(), samples, **_tiny(offer))


def _check_fuser(offer: Offer, registry: Registry) -> list[str]:
    return check_fuser(offer.component.resolve(), **_tiny(offer))


def _check_objective(offer: Offer, registry: Registry) -> list[str]:
    return check_objective(offer.component.resolve(), **_tiny(offer))


def _check_source(offer: Offer, registry: Registry) -> list[str]:
    source = _build(offer)
    passed = check_source(source)
    keys = sorted({key for row in _rows(source) for key, value in row.items() if value is not None})
    readable = {other.component.modality for other in registry} - {None}
    read = [key for key in keys if key in readable]
    expect(
        bool(read),
        f"its rows have the keys {', '.join(keys)}",
        f"one that an installed encoder reads: {', '.join(sorted(map(str, readable)))}",
    )
    return [*passed, f"installed encoders read of its rows: {', '.join(read)}"]


CHECKS: dict[str, Callable[[Offer, Registry], list[str]]] = {
    "encoder": _check_encoder,
    "fuser": _check_fuser,
    "objective": _check_objective,
    "source": _check_source,
}


def _samples(offer: Offer, registry: Registry) -> list[Any]:
    """Return raw samples of the encoder's modality, of sizes as different as a source has them."""
    modality = offer.component.modality
    sources = [other for other in registry if other.kind == "source"]
    for other in sorted(sources, key=lambda other: other.origin != offer.origin):
        try:
            rows = _rows(_build(other))
        except Exception:  # its own check says why
            continue
        found = [row[modality] for row in rows if row.get(modality) is not None]
        if len(found) > 1:
            found.sort(key=lambda sample: len(pickle.dumps(sample)))
            count = min(SAMPLES, len(found))
            return [found[place * (len(found) - 1) // (count - 1)] for place in range(count)]
    names = ", ".join(other.component.name for other in sources) or "none"
    raise PluginError(
        f"no installed source has rows with {modality!r} in its tiny form (sources: {names}); call "
        "fusion.testing.check_encoder(build, samples) in your own tests"
    )


def _rows(source: Source) -> list[Any]:
    return [source[place] for place in range(min(len(source), LOOKED_AT))]


def _build(offer: Offer) -> Source:
    return offer.component.resolve()(**_tiny(offer))  # type: ignore[no-any-return]


def _tiny(offer: Offer) -> dict[str, Any]:
    values, problems = options.check(offer.component, offer.component.tiny, "tiny")
    if problems:
        said = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
        raise PluginError(f"{said}; say in Component(..., tiny={{...}}) how to build it in seconds")
    return values


@contextmanager
def _blaming(offer: Offer) -> Iterator[None]:
    who = f"{offer.kind} {offer.component.name} of {offer.origin}"
    try:
        yield
    except FusionError as error:
        raise PluginError(f"{who}: {error}") from error
    except Exception as error:
        raise PluginError(f"{who} raised {type(error).__name__}: {error}; expected it to work") from error
