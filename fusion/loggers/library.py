"""The library of a tracker, imported when a training is to be tracked by it."""

from importlib import import_module
from typing import Any

from fusion.errors import RunError


def library(module: str, extra: str) -> Any:
    """Return a module. Raises RunError that names the extra which brings it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise RunError(f"the logger needs {module} ({error}): pip install 'fusion-bind[{extra}]'") from error
