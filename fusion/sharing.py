"""Load a checkpoint once for all the encoders of a model that are built from it."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

T = TypeVar("T")

_loaded: ContextVar[dict[Hashable, Any] | None] = ContextVar("loaded", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """While a model is built, keep what `shared` loads; afterwards only what the encoders took is kept."""
    token = _loaded.set({})
    try:
        yield
    finally:
        _loaded.reset(token)


def shared(key: Hashable, load: Callable[[], T]) -> T:
    """Return `load()`, called once for every `key` of a model that is being built.

    Two encoders must not end up with the same weights: who takes a part that is already taken copies it.
    """
    loaded = _loaded.get()
    if loaded is None:
        return load()
    if key not in loaded:
        loaded[key] = load()
    return cast(T, loaded[key])
