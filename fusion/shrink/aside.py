"""Where a run is made before it is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def aside(place: Path) -> Iterator[Path]:
    """Yield a folder beside a place, which is gone afterwards, also after Ctrl-C, unless it was moved."""
    near = next(folder for folder in place.absolute().parents if folder.is_dir())
    try:
        with TemporaryDirectory(prefix=".compress-", dir=near) as folder:
            yield Path(folder) / "run"
    except KeyboardInterrupt:  # a training says how to go on with a folder that is gone
        raise KeyboardInterrupt("interrupted; the run is as it was, and nothing new was kept") from None
