"""Compare a run folder with what was written into it, and what made it with what is installed."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from fusion.manifest import SIGNATURE, faults, unlisted
from fusion.registry import Registry
from fusion.run import LIBRARIES, Run
from fusion.search import record as records
from fusion.training import checkpoint

ABSENT = "not installed"


class Version(NamedTuple):
    """Something that made a run, and that is of another version now."""

    name: str
    then: str
    now: str


class Verified(NamedTuple):
    """What is wrong with each file, "" if nothing is, and what is of another version."""

    finished: bool
    files: dict[str, str]  # by path in the run folder
    versions: list[Version]
    unlisted: list[str]  # files that the manifest does not list
    signed: bool  # by whomever

    @property
    def whole(self) -> bool:
        return not any(self.files.values())

    def advice(self) -> list[str]:
        """Say what to do about damaged files."""
        wrong = [name for name, fault in self.files.items() if fault]
        steps = {name.split("/")[1] for name in self.files if name.startswith("checkpoints/")}
        damaged = {name.split("/")[1] for name in wrong if name.startswith("checkpoints/")}
        told = []
        if any(not name.startswith(("checkpoints/", f"{records.FOLDER}/")) for name in wrong):
            told.append("The run is damaged: copy it again from where it is whole, or train it again.")
        for place in sorted(
            {name.rpartition("/")[0] for name in wrong if name.startswith(f"{records.FOLDER}/")}
        ):
            told.append(
                f"An index is damaged: delete {place} of the run, and `fusion index` its source again."
            )
        if damaged:
            left = max(steps - damaged, default=None)
            told.append(
                f"`--resume` goes on from {left}, the newest whole checkpoint."
                if left
                else "No checkpoint is whole: `--resume` begins at the first step."
            )
        return told


def verify(run: Run, registry: Registry) -> Verified:
    """Compare every file that has a SHA-256: those of a finished run, of its indexes and of all checkpoints.

    Raises RunError where the manifest of the run cannot be read.
    """
    files: dict[str, str] = {}
    versions: list[Version] = []
    more: list[str] = []
    if run.finished:
        record = run.manifest
        files, more = faults(run.folder, record["files"]), unlisted(run.folder, record["files"])
        made = {name: str(record[name]) for name in ("python", "fusion", *LIBRARIES) if name in record}
        versions = [
            Version(name, then, now) for name, then in made.items() if (now := _installed(name)) != then
        ]
        versions += _plugins(record["plugins"], registry)
        files |= records.faults(run)
    for path in checkpoint.all_in(run.checkpoints):
        found = dict.fromkeys((*checkpoint.parts(path), checkpoint.MANIFEST), "") | checkpoint.damage(path)
        files |= {f"checkpoints/{path.name}/{name}": fault for name, fault in found.items()}
    return Verified(run.finished, files, versions, more, (run.folder / SIGNATURE).is_file())


def _installed(name: str) -> str:
    if name == "python":
        return platform.python_version()
    try:
        return version("fusion-bind" if name == "fusion" else name)
    except PackageNotFoundError:
        return ABSENT


def _plugins(made: dict[str, dict[str, str]], registry: Registry) -> Iterator[Version]:
    for name, then in made.items():
        now = registry.origins[name].version if name in registry.origins else ABSENT
        if now != then["version"]:
            yield Version(f"plugin {name}", then["version"], now)
