"""The run: the folder that a recipe produced, in plain files."""

import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

from fusion.errors import RunError
from fusion.files import fsync, json_bytes, parse_json
from fusion.manifest import MANIFEST
from fusion.manifest import parse as parse_manifest
from fusion.picks import picks
from fusion.recipe.differences import differences
from fusion.recipe.schema import Recipe
from fusion.recipe.text import dump, parse, read
from fusion.registry import Registry

RUNS = Path("runs")
STAGE = ".recipe.yaml.partial"
"""All that is in the folder of a run that was killed while it was made."""
LIBRARIES = ("torch", "accelerate", "numpy", "safetensors")
"""Those whose versions a manifest has."""


class Run:
    """A run folder: recipe, weights, manifest, metrics, report and checkpoints, in plain files.

    Raises RunError when the folder holds no recipe.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "recipe.yaml").is_file():
            raise RunError(
                f"{self.folder} is not a run: it has no recipe.yaml; a run is what `fusion train` leaves"
            )

    @cached_property
    def recipe(self) -> Recipe:
        """The complete recipe. Raises RecipeError where the file is damaged."""
        path = self.folder / "recipe.yaml"
        return Recipe(**parse(read(path), str(path))[0])

    @property
    def metrics(self) -> dict[str, Any]:
        """One flat object with stable keys, such as "retrieval/image->audio/hit@1"."""
        return self.read_json("metrics.json")

    @property
    def manifest(self) -> dict[str, Any]:
        """Versions, plugins, where pretrained weights come from, and the SHA-256 of what was saved.

        Raises RunError where it is not there, or not what a training writes.
        """
        path = self._file(MANIFEST)
        return parse_manifest(path.read_bytes(), str(path))

    @property
    def model_file(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def assets(self) -> Path:
        """What the encoders are built from beside their options: a folder each, for those that need it."""
        return self.folder / "encoders"

    @property
    def calibration_file(self) -> Path:
        """Temperatures of the answers, by "subset/task"; there where `evaluate.calibrate` gave any."""
        return self.folder / "calibration.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def finished(self) -> bool:
        """Whether training and evaluation came to their end."""
        return (self.folder / "manifest.json").is_file()

    def write_json(self, name: str, content: Mapping[str, Any] | Sequence[Any]) -> None:
        """Write a JSON file, whole or not at all."""
        stage = self.folder / f".{name}.partial"
        stage.write_bytes(json_bytes(content))
        fsync(stage)
        stage.replace(self.folder / name)

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file. Raises RunError where it is not there or damaged."""
        path = self._file(name)
        try:
            content = parse_json(path.read_text("utf-8"))
            if not isinstance(content, dict):
                raise ValueError(f"an object expected, not {type(content).__name__}")
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}") from error
        return content

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise RunError(f"{self.folder} has no {name}: the run is not finished; `--resume` it")
        return path


def create(name: str, recipe: Recipe, out: Path | None) -> Run:
    """Make the folder of a new run: `out`, or the first free of runs/NAME, runs/NAME-2 ...

    Raises RunError when `out` is taken or cannot be made.
    """
    expect_free(out)
    try:
        folder = out or _claim(name)
        folder.mkdir(parents=True, exist_ok=True)
        _write_recipe(folder, recipe)
    except OSError as error:
        raise RunError(f"cannot make the run folder: {error}") from error
    return Run(folder)


def settle(run: Run, name: str, out: Path | None) -> Run:
    """Move a run that was made elsewhere to where `create` would have made it. Raises RunError."""
    expect_free(out)
    try:
        folder = out or _claim(name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Run(run.folder.replace(folder))
    except OSError as error:
        raise RunError(f"cannot make the run folder: {error}") from error


def expect_free(out: Path | None) -> None:
    """Raise RunError where the folder of a new run is taken."""
    if out is not None and out.exists() and not (out.is_dir() and {*out.iterdir()} <= {out / STAGE}):
        raise RunError(f"{out} exists; continue it with --resume, or choose another --out")


def reopen(name: str, recipe: Recipe, out: Path | None) -> Run:
    """Return the run to continue, with this recipe.

    It has to be the one that the run was started with, but for what is evaluated, who follows it, and what
    saves memory and changes no number. Raises RunError.
    """
    run = resumable(name, out)
    expect_same(run, recipe)
    _write_recipe(run.folder, recipe)
    return Run(run.folder)


def expect_same(run: Run, recipe: Recipe) -> None:
    """Raise RunError where a run was started with another recipe than one that it can go on with."""
    free = re.compile(r"evaluate\..*|train\.(memory_gb|track)|encoders\.[^.]*\.tune\.recompute")
    changed = [key for key in differences(recipe, run.recipe) if not free.fullmatch(key)]
    if changed:
        raise RunError(
            f"{run.folder} was started with another recipe; these keys differ: {', '.join(changed)}"
        )


def resumable(name: str, out: Path | None) -> Run:
    """Return the run that can go on: `out`, or the newest of runs/NAME. Raises RunError."""
    run = started(name, out)
    if run.finished:
        raise RunError(f"{run.folder} is finished; nothing is left to resume")
    return run


def started(name: str, out: Path | None) -> Run:
    """Return the run that is meant: `out`, or the newest of runs/NAME. Raises RunError."""
    folder = out or _newest(name)
    if folder is None:
        raise RunError(f"nothing to resume: there is no {RUNS / name}")
    return Run(folder)


def _write_recipe(folder: Path, recipe: Recipe) -> None:
    stage = folder / STAGE
    stage.write_text(dump(recipe.model_dump(mode="json")), "utf-8")
    stage.replace(folder / "recipe.yaml")


def manifest(
    recipe: Recipe,
    registry: Registry,
    weights: Mapping[str, Mapping[str, str]],
    files: Mapping[str, str],
    compressions: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the record of what made a run: versions, plugins, the origin of weights, hashes."""
    picked = picks(recipe.model_dump(mode="json"), registry)
    used = {registry.find(pick.kind, pick.name).origin for pick in picked}
    used |= {registry.find("compression", name).origin for name in compressions}
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": recipe.train.seed,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "fusion": version("fusion-bind"),
        **{name: version(name) for name in LIBRARIES},
        "plugins": {
            origin.plugin: {"distribution": origin.distribution, "version": origin.version}
            for origin in sorted(used)
        },
        "weights": {name: dict(origin) for name, origin in weights.items() if origin},
        "files": dict(files),
    }


def _numbered(name: str) -> dict[int, Path]:
    pattern = re.compile(re.escape(name) + r"(?:-(\d+))?")
    folders = RUNS.iterdir() if RUNS.is_dir() else iter(())
    matches = {folder: pattern.fullmatch(folder.name) for folder in folders}
    return {int(match[1] or 1): folder for folder, match in matches.items() if match}


def _claim(name: str) -> Path:
    """Make the folder of the next number; another process may take one at the same time."""
    for number in count(max(_numbered(name), default=0) + 1):
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise AssertionError("the numbers do not end")


def _newest(name: str) -> Path | None:
    numbered = _numbered(name)
    return numbered[max(numbered)] if numbered else None
