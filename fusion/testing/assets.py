"""Check that an encoder can be built from what its `save_assets` has written."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fusion.encoder import Encoder
from fusion.errors import PluginError
from fusion.testing.expect import build_seeded, expect, move_weights

LIMIT = 64  # MiB, as of a pickled processor: tokenizers have 20
WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".npz"})


def rebuilt(encoder: Encoder, build: Callable[..., Encoder], options: dict[str, Any]) -> Encoder:
    """Save an encoder as a run does and return another, built from its assets and with its weights."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "assets"
        folder.mkdir()
        encoder.save_assets(folder)
        _expect_small([path for path in folder.rglob("*") if path.is_file()])
        _expect_taken(build)
        other: Encoder = build_seeded(build, Encoder, 1, folder, **options)
    expect(
        not other.origin,
        f"built from its assets, origin is {dict(other.origin)}",
        "an empty one: the run's manifest holds where the weights came from",
    )
    try:
        move_weights(encoder, other)
    except RuntimeError as error:  # torch's words name the parameters
        raise PluginError(
            f"built from its assets it cannot take the saved weights: {' '.join(str(error).split())}; "
            "expected the same modules"
        ) from error
    return other.train(encoder.training)


def _expect_taken(build: Callable[..., Encoder]) -> None:
    try:
        inspect.signature(build).bind_partial(Path())
    except TypeError as error:
        raise PluginError(
            f"it takes no assets: {error}; expected `assets: Path | None = None` as its one positional "
            "parameter, as it overrides save_assets"
        ) from error


def _expect_small(files: Sequence[Path]) -> None:
    expect(bool(files), "save_assets wrote no file", "one at least, or not to be overridden")
    for path in files:
        expect(
            path.suffix not in WEIGHTS,
            f"save_assets wrote {path.name}",
            "no weights there: the run keeps them beside, from state_dict",
        )
    size = sum(path.stat().st_size for path in files) / 2**20
    expect(size <= LIMIT, f"save_assets wrote {size:.0f} MiB", f"at most {LIMIT} MiB, and no weights")
