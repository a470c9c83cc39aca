"""The library of a tracker, imported when a training is to be tracked by it."""

from collections.abc import Iterator
from contextlib import contextmanager

from fusion.errors import RunError


@contextmanager
def brought_by(extra: str) -> Iterator[None]:
    """Within it, an import that fails is a RunError that names the extra which brings the library."""
    try:
        yield
    except ImportError as error:
        raise RunError(
            f"the logger's library is missing ({error}): pip install 'fusion-bind[{extra}]'"
        ) from error
