"""Let one process decide, and all know."""

from collections.abc import Callable
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from fusion.errors import FusionError

Found = TypeVar("Found")


def agreed(decide: Callable[[], Found], accelerator: Accelerator) -> Found:
    """Return what the main process has found. All ranks call it; its error is raised on all of them."""
    outcome: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            outcome = [decide()]
        except FusionError as error:
            outcome = [error]
    if accelerator.num_processes > 1:
        broadcast_object_list(outcome)
    if isinstance(outcome[0], FusionError):
        raise outcome[0]
    found: Found = outcome[0]
    return found
