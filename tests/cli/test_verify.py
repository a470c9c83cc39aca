"""fusion verify: which files of a run are not what was written, and what is of another version."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Run
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_run.folder, tmp_path / "run")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_a_run_that_is_whole_says_so(fusion: Fusion, run: Path) -> None:
    found = fusion("verify", run, "--json")
    assert (found.code, found.err) == (0, "")
    assert found.json["whole"]
    assert found.json["finished"]
    [step] = (run / "checkpoints").iterdir()
    parts = ("model.safetensors", "optimizer.safetensors", "state.json", "manifest.json")
    assert found.json["files"] == {
        "recipe.yaml": "",
        "model.safetensors": "",
        **{f"checkpoints/{step.name}/{name}": "" for name in parts},
    }
    assert found.json["versions"] == found.json["advice"] == []


def test_damaged_and_missing_files_are_told_with_what_to_do(fusion: Fusion, run: Path) -> None:
    [step] = (run / "checkpoints").iterdir()
    shutil.copytree(step, step.with_name("step-00000001"))
    flip(run / "model.safetensors")
    flip(step / "optimizer.safetensors")
    (step / "state.json").unlink()
    found = fusion("verify", run)
    assert found.code == 1
    states = dict(line.split(maxsplit=1) for line in found.out.splitlines() if "safetensors" in line)
    assert states["model.safetensors"] == "is not what was written"
    assert states[f"checkpoints/{step.name}/optimizer.safetensors"] == "is not what was written"
    assert states[f"checkpoints/{step.name}/model.safetensors"] == "whole"
    assert f"checkpoints/{step.name}/state.json" in found.out
    assert "No such file or directory" in found.out
    assert "The run is damaged: copy it again from where it is whole, or train it again.\n" in found.out
    assert "`--resume` goes on from step-00000001, the newest whole checkpoint.\n" in found.out


def test_a_run_that_is_not_finished_has_its_checkpoints(fusion: Fusion, run: Path) -> None:
    (run / "manifest.json").unlink()
    [step] = (run / "checkpoints").iterdir()
    found = fusion("verify", run)
    assert found.code == 0
    assert found.out.count("  whole\n") == 4
    assert found.out.endswith("The run is not finished: `--resume` it.\n")
    flip(step / "manifest.json")
    damaged = fusion("verify", run)
    assert damaged.code == 1
    assert "No checkpoint is whole: `--resume` begins at the first step.\n" in damaged.out
    shutil.rmtree(run / "checkpoints")
    none = fusion("verify", run)
    assert (none.code, none.out) == (
        0,
        "The run is not finished, and has no checkpoint yet: `--resume` it.\n",
    )


def test_what_is_of_another_version_is_told_and_is_no_damage(fusion: Fusion, run: Path) -> None:
    manifest = run / "manifest.json"
    record = json.loads(manifest.read_text())
    record["torch"] = "1.0"
    record["plugins"]["nose"] = {"distribution": "fusion-nose", "version": "3.2"}
    manifest.write_text(json.dumps(record))
    found = fusion("verify", run, "--json")
    assert (found.code, found.json["whole"]) == (0, True)
    [torch, nose] = found.json["versions"]
    assert (torch["name"], torch["then"]) == ("torch", "1.0")
    assert torch["now"] != "1.0"
    assert nose == {"name": "plugin nose", "then": "3.2", "now": "not installed"}
    assert "plugin nose  3.2   not installed" in fusion("verify", run).out


@pytest.mark.parametrize("content", ["{}", '{"files": []}', "{"])
def test_a_damaged_manifest_is_one_error(fusion: Fusion, run: Path, content: str) -> None:
    (run / "manifest.json").write_text(content)
    found = fusion("verify", run)
    assert (found.code, found.out) == (1, "")
    assert "manifest.json is damaged" in found.err


def test_what_is_no_run_is_one_error(fusion: Fusion, tmp_path: Path) -> None:
    found = fusion("verify", tmp_path)
    assert found.code == 1
    assert "is not a run: it has no recipe.yaml" in found.err
