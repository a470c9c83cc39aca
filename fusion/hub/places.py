"""What the files of a run tell of the machine on which it was made."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from fusion.files import parse_json
from fusion.recipe.text import parse, read

LONGEST = 4096  # characters of a path
NAMED = 5  # that are told


def places(files: Sequence[Path]) -> dict[str, list[str]]:
    """Return by path of a folder or file, as JSON and YAML name it, the names of the files that do."""
    found: dict[str, list[str]] = {}
    for file in files:
        for place in dict.fromkeys(filter(_is_place, _texts(_content(file)))):
            found.setdefault(place, []).append(file.name)
    return found


def warning(files: Sequence[Path]) -> str:
    """Return a sentence on what will be seen of this machine, and what to do; none where that is nothing."""
    found = places(files)
    if not found:
        return ""
    by = " and ".join(dict.fromkeys(name for names in found.values() for name in names))
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return (
        f"{by} will tell everybody of {', '.join(list(found)[:NAMED])}{more}, where nobody else has "
        "anything; to keep that to yourself, train with relative paths, or with names of the hub"
    )


def _content(file: Path) -> Any:
    if file.suffix == ".json":
        return parse_json(file.read_bytes())
    return parse(read(file), str(file))[0] if file.suffix == ".yaml" else None


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        yield from (text for pair in content.items() for part in pair for text in _texts(part))
    elif isinstance(content, list):
        yield from (text for part in content for text in _texts(part))


def _is_place(text: str) -> bool:
    """Whether a text is a path of two parts, from the root or somebody's home, or has that of ours in it."""
    if len(text) > LONGEST:
        return False
    home = str(Path.home())
    path = PurePath(text)
    deep = path.is_absolute() and len(path.parts) > 2  # "/" alone is a word of many a tokenizer
    return deep or text.startswith("~/") or (home != "/" and home in text)
