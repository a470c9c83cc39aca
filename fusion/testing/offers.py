"""Check a component as a plugin offers it, on its tiny build."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fusion.augmentation import Augmentation
from fusion.corruption import SEVERITIES
from fusion.encoder import Encoder
from fusion.errors import DataError, FusionError, PluginError
from fusion.registry import Offer, Origin, Registry
from fusion.testing.attacks import check_attack
from fusion.testing.augmentations import check_augmentation, vary
from fusion.testing.compressions import check_compression
from fusion.testing.corruptions import check_corruption, damaged
from fusion.testing.encoders import check_encoder
from fusion.testing.estimators import check_estimator
from fusion.testing.expect import expect
from fusion.testing.fusers import check_fuser
from fusion.testing.loggers import check_logger
from fusion.testing.mergings import check_merging
from fusion.testing.objectives import check_objective
from fusion.testing.priors import check_prior
from fusion.testing.samples import build_source, nearest, rows_of, samples_of
from fusion.testing.sources import check_source
from fusion.testing.tiny import builder, tiny
from fusion.testing.tunings import check_tuning


def check(offer: Offer, registry: Registry | None = None) -> list[str]:
    """Check a component with its tiny options; return what passed.

    The samples for an encoder or an augmentation come from a source in the registry: one of its own
    plugin, if that has some. Raises PluginError that names the component, its plugin, the distribution and
    its version.
    """
    with _blaming(offer):
        return CHECKS[offer.kind](offer, registry or Registry())


def _check_encoder(offer: Offer, registry: Registry) -> list[str]:
    modality = offer.component.modality
    samples = samples_of(modality, offer.origin, registry) if modality else []
    if not samples:
        sources = ", ".join(registry.names("source")) or "none"
        raise PluginError(
            f"no installed source has rows with {modality!r} in its tiny form (sources: {sources}); call "
            "fusion.testing.check_encoder(build, samples) in your own tests"
        )
    return check_encoder(builder(offer, registry), samples, **tiny(offer, samples))


def _check_fuser(offer: Offer, registry: Registry) -> list[str]:
    return check_fuser(offer.component.resolve(), **tiny(offer))


def _check_objective(offer: Offer, registry: Registry) -> list[str]:
    return check_objective(offer.component.resolve(), **tiny(offer))


def _check_source(offer: Offer, registry: Registry) -> list[str]:
    source = build_source(offer)
    passed = check_source(source)
    keys = sorted({key for row in rows_of(source) for key, value in row.items() if value is not None})
    readable = _modalities(registry)
    read = [key for key in keys if key in readable]
    expect(
        bool(read),
        f"its rows have the keys {', '.join(keys)}",
        f"one that an installed encoder reads: {', '.join(readable)}",
    )
    return [*passed, f"installed encoders read of its rows: {', '.join(read)}"]


def _check_augmentation(offer: Offer, registry: Registry) -> list[str]:
    """Check it on each modality whose samples it reads, if an encoder reads what it makes of them."""
    build, options = builder(offer, registry), tiny(offer)
    passed, refused = [], []
    for modality in _modalities(registry):
        samples = samples_of(modality, offer.origin, registry)
        try:
            reader = _reader(_varied(build(**options), samples, modality), modality, offer.origin, registry)
        except DataError as error:
            refused.append(f"{modality}: {error}")
            continue
        passed += [f"{modality}: {said}" for said in check_augmentation(build, samples, **options)]
        passed.append(f"{modality}: the encoder {reader} reads what it gives")
    if passed:
        return passed
    raise PluginError(
        f"it varies no sample of any modality ({'; '.join(refused)}); call "
        "fusion.testing.check_augmentation(build, samples) in your own tests"
    )


def _check_corruption(offer: Offer, registry: Registry) -> list[str]:
    """Check it on samples of its modality, if an encoder reads what it makes of them."""
    corruption, modality = offer.component.resolve(), offer.component.modality
    samples = samples_of(modality, offer.origin, registry) if modality else []
    if modality is None or not samples:
        raise PluginError(
            f"no installed source has rows with {modality!r} in its tiny form; call "
            "fusion.testing.check_corruption(corruption, samples) in your own tests"
        )
    passed = check_corruption(corruption, samples)
    worst = damaged(corruption, samples, SEVERITIES[-1])
    try:
        reader = _reader(worst, modality, offer.origin, registry)
    except DataError as error:
        raise PluginError(f"no installed encoder reads what it gives: {error}") from error
    return [*passed, f"the encoder {reader} reads what it gives"]


def _check_tuning(offer: Offer, registry: Registry) -> list[str]:
    return check_tuning(offer.component.resolve(), **tiny(offer))


def _check_estimator(offer: Offer, registry: Registry) -> list[str]:
    return check_estimator(offer.component.resolve(), **tiny(offer))


def _check_merging(offer: Offer, registry: Registry) -> list[str]:
    return check_merging(offer.component.resolve(), **tiny(offer))


def _check_prior(offer: Offer, registry: Registry) -> list[str]:
    return check_prior(offer.component.resolve(), **tiny(offer))


def _check_compression(offer: Offer, registry: Registry) -> list[str]:
    return check_compression(offer.component.resolve(), **tiny(offer))


def _check_attack(offer: Offer, registry: Registry) -> list[str]:
    return check_attack(offer.component.resolve(), **tiny(offer))


def _check_logger(offer: Offer, registry: Registry) -> list[str]:
    return check_logger(offer.component.resolve(), **tiny(offer))


def _varied(augmentation: Augmentation, samples: list[Any], modality: str) -> list[Any]:
    if not samples:
        raise DataError("no installed source has any in its tiny form")
    try:
        return [vary(augmentation, samples, row, 0) for row in range(len(samples))]
    except DataError:
        raise
    except Exception as error:
        raise PluginError(
            f"a sample of {modality!r} raised {error!r}; expected fusion.DataError for what it cannot read"
        ) from error


def _reader(varied: list[Any], modality: str, origin: Origin, registry: Registry) -> str:
    """Return the name of an installed encoder that reads the samples. Raises DataError when none does."""
    said = []
    for other in nearest(registry, origin, "encoder"):
        if other.component.modality == modality:
            try:
                encoder: Encoder = builder(other, registry)(**tiny(other, varied))
                for sample in varied:
                    encoder.processor.decode(sample)
            except Exception as error:  # its own check says why; another one may read it
                said.append(f"the encoder {other.component.name} raised {error!r}")
                continue
            return other.component.name
    raise DataError("; ".join(said))


CHECKS: dict[str, Callable[[Offer, Registry], list[str]]] = {
    "encoder": _check_encoder,
    "fuser": _check_fuser,
    "objective": _check_objective,
    "source": _check_source,
    "augmentation": _check_augmentation,
    "corruption": _check_corruption,
    "tuning": _check_tuning,
    "estimator": _check_estimator,
    "merging": _check_merging,
    "prior": _check_prior,
    "compression": _check_compression,
    "attack": _check_attack,
    "logger": _check_logger,
}


def _modalities(registry: Registry) -> list[str]:
    """Return what the installed encoders read."""
    return sorted({str(other.component.modality) for other in registry if other.kind == "encoder"})


@contextmanager
def _blaming(offer: Offer) -> Iterator[None]:
    who = f"{offer.kind} {offer.component.name} of {offer.origin}"
    try:
        yield
    except FusionError as error:
        raise PluginError(f"{who}: {error}") from error
    except Exception as error:
        raise PluginError(f"{who} raised {type(error).__name__}: {error}; expected it to work") from error
