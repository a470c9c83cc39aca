"""Fetch a run from the hub: the files that its manifest lists, and nothing else."""

import re
from pathlib import Path

from fusion.errors import RunError
from fusion.manifest import MANIFEST, SIGNATURE, parse
from fusion.run import Run

REPOSITORY = r"[\w.-]+/[\w.-]+"
NAME = re.compile(rf"(?P<repository>{REPOSITORY})@(?P<revision>[\w./-]+)")
MEASURED = ("metrics.json", "evaluation.json")


def opened(run: str | Path | Run) -> Run:
    """Return a run, which may be given by where it lies, as `located` has it. Raises RunError."""
    return run if isinstance(run, Run) else Run(located(run))


def located(name: str | Path) -> Path:
    """Return the folder of a run: itself, or a copy of "org/name@revision" in the cache of the hub.

    A revision is a commit, a branch or a tag, and has to be given: what stands there without one may change.
    Raises RunError where it cannot be fetched.
    """
    found = NAME.fullmatch(str(name))
    if found is None or Path(name).exists():
        return Path(name).expanduser()
    return fetch(found["repository"], found["revision"])


def fetch(repository: str, revision: str) -> Path:
    """Return the folder with a run of the hub, fetched where it is not on this machine yet.

    Raises RunError where there is no such repository or revision, it holds no run, or the hub is not reached.
    """
    from huggingface_hub import constants, errors, hf_hub_download, snapshot_download

    offline, name = constants.HF_HUB_OFFLINE, f"{repository}@{revision}"
    try:
        path = Path(hf_hub_download(repository, MANIFEST, revision=revision, local_files_only=offline))
        listed = parse(path.read_bytes(), f"{name}/{MANIFEST}")["files"]
        wanted = [_literal(file) for file in ("recipe.yaml", MANIFEST, SIGNATURE, *MEASURED, *listed)]
        commit = path.parent.name  # of the files that follow, should the branch move meanwhile
        return Path(
            snapshot_download(repository, revision=commit, allow_patterns=wanted, local_files_only=offline)
        )
    except errors.RevisionNotFoundError as error:
        told = f"{repository} has no revision {revision!r}; give a commit, a branch or a tag"
        raise RunError(told) from error
    except errors.RepositoryNotFoundError as error:
        told = f"the hub has no {repository}, or it is a private one and nobody is logged in: `hf auth login`"
        raise RunError(told) from error
    except errors.RemoteEntryNotFoundError as error:
        raise RunError(f"{name} is no run: it has no {MANIFEST}") from error
    except failures() as error:
        told = f"{name} is not on this machine and cannot be fetched from here: {first_line(error)}"
        raise RunError(told) from error


def failures() -> tuple[type[Exception], ...]:
    """Return what a call of the hub raises; errors of its HTTP library pass, and that library has changed."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    return OSError, HFValidationError, HfHubHTTPError.__bases__[0]


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _literal(name: str) -> str:
    """Return a pattern that fits one name only."""
    return re.sub(r"[*?[]", lambda found: f"[{found[0]}]", name)
