"""What the manifest of a run says of its files and plugins, and whether they are so."""

from collections.abc import Container, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fusion.errors import RunError
from fusion.files import parse_json, sha256

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
CHANGED = "is not what was written"
LATER = (  # written for people, by training or by later commands; no model is built from them
    *("metrics.json", "metrics.jsonl", "scores.jsonl", "evaluation.json", "notes.json", "report.html"),
    *("ledger.jsonl", "retention.json", "profile.json", "comparison.json"),
    *("stress-corruption.json", "stress-attack.json"),
)
APART = ("checkpoints/", "export/", "index/")  # folders of which loading reads nothing


def parse(written: bytes, place: str) -> dict[str, Any]:
    """Return what a manifest holds. Raises RunError for one that no training has written."""
    try:
        record = parse_json(written)
    except ValueError as error:
        raise RunError(f"{place} is damaged: {error}") from error
    problem = _problem(record)
    if problem:
        raise RunError(f"{place} is damaged: {problem}; copy the run again, or train it again")
    return record  # type: ignore[no-any-return]


def faults(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with each file of a run that has this SHA-256 there, "" if nothing is."""
    return {name: fault(folder / name, digest) for name, digest in files.items()}


def fault(path: Path, digest: str) -> str:
    """Return what is wrong with a file that should have this SHA-256, "" if nothing is."""
    try:
        return "" if sha256(path) == digest else CHANGED
    except OSError as error:
        return str(error.strerror)


def unlisted(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Return the files of a run that its manifest does not list and that are not written later, sorted."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    names = {path.relative_to(folder).as_posix() for path in found}
    known = {MANIFEST, SIGNATURE, *LATER, *files}
    return sorted(name for name in names - known if not name.startswith(APART))


def inside(name: str) -> bool:
    """Whether a name stays in the folder: no way up, no other root, nothing a file cannot be called."""
    path = PurePosixPath(name)
    plain = name.isprintable() and "\\" not in name
    return plain and bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _problem(record: Any) -> str:
    if not isinstance(record, dict):
        return f"an object expected, not {type(record).__name__}"
    files, plugins = record.get("files"), record.get("plugins")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        return "under `files` it lacks the SHA-256 of each"
    outside = [name for name in files if not inside(name)]
    if outside:
        return f"{outside[0][:200]!r} is no file of a run"
    if not isinstance(plugins, dict) or not all(
        isinstance(made, dict) and all(isinstance(made.get(key), str) for key in ("distribution", "version"))
        for made in plugins.values()
    ):
        return "under `plugins` it lacks the distribution and version of each"
    return ""


def made_with(plugins: Mapping[str, Mapping[str, str]], here: Container[str]) -> str:
    """Say which plugins a run was made with, each with its distribution, and which of them are not here."""
    used = {
        name: f"{name} ({entry['distribution']} {entry['version']})".replace(" )", ")")
        for name, entry in plugins.items()
    }
    gone = [told for name, told in used.items() if name not in here]
    return ", ".join(used.values()) + (f"; not here: {', '.join(gone)}" if gone else "")
