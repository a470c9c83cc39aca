"""What makes an entry of the cache the one that is wanted: everything that its content follows from."""

import glob
import hashlib
import inspect
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from fusion.batch import Row, Source, Target
from fusion.cache.columns import Column
from fusion.data.fingerprint import fingerprint
from fusion.data.order import Ints
from fusion.encoder import Encoder
from fusion.files import sha256
from fusion.recipe.picks import Pick
from fusion.registry import Registry

LAYOUT = 1
"""Of the files of an entry."""

PROBES = 32
"""Rows of a source that are compared."""

Key = dict[str, Any]


def name_of(key: Key) -> str:
    """Return the name under which an entry lies."""
    text = json.dumps({**key, "layout": LAYOUT}, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:40]


def encoder_key(encoder: Encoder, pick: Pick, registry: Registry) -> Key:
    """Return what an encoder's features follow from: options, code, weights, and what it is built from."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        encoder.save_assets(folder)
        assets = {str(path.relative_to(folder)): sha256(path) for path in _files(folder)}
    return {
        **_component("encoder", pick, registry, *_classes(encoder)),
        "weights": _weights(encoder),
        "assets": assets,
        "origin": dict(encoder.origin),
        "torch": torch.__version__,
    }


def source_key(
    pick: Pick, size: int, rows: Ints, probes: Mapping[int, Row | str], column: Column, registry: Registry
) -> Key:
    """Return by what a changed source is told: options, code, files that options name, and some rows.

    Of such files the size and the time of the last change are compared, and of the `probes` the parts that
    the column reads. A change of other rows, in files that no option names, is not seen.
    """
    told = {
        row: found if isinstance(found, str) else [_told(raw) for raw in column.probe(found)]
        for row, found in probes.items()
    }
    return {
        **_component("source", pick, registry),
        "files": _stamp(pick.options),
        "size": size,
        "rows": "all" if len(rows) == size else hashlib.sha256(rows.tobytes()).hexdigest(),
        "probed": hashlib.sha256(str(told).encode("utf-8", "backslashreplace")).hexdigest(),
    }


def probe(source: Source) -> dict[int, Row | str]:
    """Return `PROBES` rows that lie evenly over a source; of a bad one the kind of its error."""
    found: dict[int, Row | str] = {}
    for row in np.unique(np.linspace(0, len(source) - 1, PROBES).astype(np.int64)).tolist():
        try:
            found[row] = source[row]
        except Exception as error:  # of whatever kind, it is told where all rows are read
            found[row] = type(error).__name__
    return found


def targets_key(targets: Mapping[str, Target]) -> Key:
    return {name: [str(target.dtype), list(target.shape), target.below] for name, target in targets.items()}


def _component(kind: str, pick: Pick, registry: Registry, *classes: type) -> Key:
    """Return what a recipe picks, who offers it, and the SHA-256 of the files that it is written in."""
    offer = registry.find(kind, pick.name)
    code = []
    written: list[Any] = [offer.component.resolve(), *classes]
    for one in written:
        try:
            file = inspect.getsourcefile(one)
        except TypeError:  # a callable object
            continue
        code += [sha256(Path(file))] if file is not None and os.path.isfile(file) else []
    return {"name": pick.name, "options": pick.options, "plugin": list(offer.origin), "code": code}


def _classes(encoder: Encoder) -> list[type]:
    """Return the classes of an encoder, of those within it, and of their processors."""
    parts = [part for part in encoder.modules() if isinstance(part, Encoder)]
    return [kind for part in parts for kind in (type(part), type(part.processor))]


def _weights(encoder: Encoder) -> str:
    digest = hashlib.sha256()
    for name, tensor in encoder.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _stamp(options: Any) -> str:
    """Return a digest of names, sizes and times of all files that any of these options leads to."""
    digest = hashlib.sha256()
    for text in _texts(options):
        place = os.path.expandvars(os.path.expanduser(text))
        found = glob.glob(place) if glob.has_magic(place) else [place]
        for path in (path for start in sorted(found) for path in _files(Path(start))):
            state = path.stat()
            digest.update(f"{path} {state.st_size} {state.st_mtime_ns} ".encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _texts(options: Any) -> Iterator[str]:
    if isinstance(options, str):
        yield options
    elif isinstance(options, Mapping | list | tuple):
        for part in options.values() if isinstance(options, Mapping) else options:
            yield from _texts(part)


def _files(place: Path) -> list[Path]:
    """Return the file, or all files under the folder; none where there is neither."""
    if os.path.isdir(place):
        return sorted(path for path in place.rglob("*") if path.is_file())
    return [place] if os.path.isfile(place) else []


def _told(raw: Any) -> str:
    """Return what tells a raw part from another; of a file, when it was changed."""
    if isinstance(raw, str | Path) and os.path.isfile(raw):
        state = os.stat(raw)
        return f"{raw} {state.st_size} {state.st_mtime_ns}"
    try:
        array = np.asarray(raw)  # also of a picture, or a list of numbers
    except Exception:  # of a library, or of a stranger
        array = np.array(None)
    return str(fingerprint(raw) or fingerprint(array) or type(raw).__name__)
