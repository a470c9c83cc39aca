"""Manifests and other JSON of a run that somebody else has written."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusion import FusionError, Registry, Run, RunError, load
from fusion.training.verify import verify
from tests.safety.conftest import Payload


@pytest.fixture
def folder(tmp_path: Path, tiny_run: Run) -> Path:
    shutil.copytree(tiny_run.folder, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    return tmp_path / "run"


@pytest.fixture
def uses(folder: Path, registry: Registry) -> list[Callable[[], Any]]:
    return [lambda: load(folder, "cpu", registry), lambda: verify(Run(folder), registry)]


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b"[]", b"7", b"NaN", b"", b"\xff\xfe", b"{", b'{"files":' + b"9" * 100_000 + b"}"],
)
def test_what_is_no_manifest_is_damage(text: bytes, folder: Path, uses: list[Callable[[], Any]]) -> None:
    (folder / "manifest.json").write_bytes(text)
    for use in uses:
        with pytest.raises(RunError, match=r"manifest\.json is damaged"):
            use()


def test_a_pickle_is_no_manifest(folder: Path, uses: list[Callable[[], Any]], payload: Payload) -> None:
    for name in ("manifest.json", "metrics.json"):
        (folder / name).write_bytes(pickle.dumps(payload))
        with pytest.raises(RunError, match="is damaged: 'utf-8' codec"):
            Run(folder).read_json(name)
    for use in uses:
        with pytest.raises(RunError, match="is damaged: 'utf-8' codec"):
            use()


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "/dev/zero",
        "/etc/passwd",
        "a/../../b",
        "a\0b",
        "\ud800",
        "",
        ".",
        "..\\up",
        "a\nb",
    ],
)
def test_a_manifest_names_files_of_its_folder_only(
    name: str, folder: Path, uses: list[Callable[[], Any]]
) -> None:
    write(folder, files={name: "0" * 64})
    for use in uses:
        with pytest.raises(RunError, match="is no file of a run; copy the run again"):
            use()


@pytest.mark.parametrize(
    "wrong",
    [
        {"files": None},
        {"files": ["model.safetensors"]},
        {"files": {"model.safetensors": 1}},
        {"files": float("nan")},
        {"plugins": ["digits"]},
        {"plugins": {"digits": "0.1"}},
        {"plugins": {"digits": {}}},
    ],
)
def test_a_manifest_of_another_form_is_damage(
    wrong: dict[str, Any], folder: Path, uses: list[Callable[[], Any]]
) -> None:
    write(folder, **wrong)
    for use in uses:
        with pytest.raises(RunError, match=r"is damaged: under `(files|plugins)` it lacks"):
            use()


def test_what_is_no_file_is_not_waited_for(folder: Path, registry: Registry) -> None:
    """A pipe that nobody writes to, a device without end, a link to itself."""
    for number, make in enumerate((os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir, loop)):
        (folder / f"{number}").unlink(missing_ok=True)
        make(folder / f"{number}")
    write(folder, files={str(number): "0" * 64 for number in range(4)})
    found = verify(Run(folder), registry).files
    assert list(found.values())[:2] == ["Not a regular file"] * 2
    assert all(found.values())
    with pytest.raises(RunError, match="is missing or damaged"):
        load(folder, "cpu", registry)


@pytest.mark.parametrize("recipe", [b"\xff\xfe", b"- a", b"a: &a [*a]", b""])
def test_a_damaged_recipe_of_a_run_is_told(recipe: bytes, folder: Path) -> None:
    (folder / "recipe.yaml").write_bytes(recipe)
    with pytest.raises(FusionError, match=r"cannot be read as text|not YAML|nested|is a mapping|is missing"):
        Run(folder).recipe  # noqa: B018


def write(folder: Path, **changed: Any) -> None:
    record = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**record, **changed}))


def loop(path: Path) -> None:
    path.symlink_to(path)
