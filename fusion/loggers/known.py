"""By what name a tracker knows a training, kept in the run, so that a resumed one goes on there."""

from collections.abc import Callable
from pathlib import Path


def known(folder: Path, new: Callable[[], str]) -> tuple[str, bool]:
    """Return the id that is kept in a folder, or a new one, and whether it is new."""
    path = folder / "id"
    if path.is_file():
        return path.read_text("utf-8").strip(), False
    made = new()
    path.write_text(made + "\n", "utf-8")
    return made, True
