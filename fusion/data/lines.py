"""Files of JSON lines, of which a kill may have torn the last one."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fusion.files import parse_json


def read(path: Path) -> list[dict[str, Any]]:
    """Return what the whole lines hold; a torn one is left out, and a missing file has none."""
    # as bytes: str.splitlines() would also split at U+2028 and its like, which may stand in a file's name
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    return [parse_json(line) for line in lines if line.endswith(b"\n")]


def append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add a line for each row."""
    # backslashreplace writes what is not Unicode, such as a byte in a file's name, as JSON escapes it
    with path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def rewrite(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace the file by one with these rows, whole or not at all."""
    stage = path.with_name(f".{path.name}.partial")
    stage.unlink(missing_ok=True)
    append(stage, rows)
    stage.replace(path)
