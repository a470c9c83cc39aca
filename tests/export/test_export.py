"""What is exported answers as the run does, where there is no fusion."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fusion_digits.source import Digits

from fusion import DataError, Registry, Run, RunError, load
from fusion.export import formats
from fusion.export.check import check
from fusion.export.export import Exported, export
from fusion.export.formats import FORMATS
from fusion.export.specimens import specimens

BLOCKED = """
import runpy, sys
sys.modules["fusion"] = None  # importing it is an error
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def rows() -> list[dict[str, Any]]:
    """Every subset of the modalities, texts of different lengths among them."""
    source = Digits(split="test")
    subsets = [
        {"image", "text", "audio"},
        {"image"},
        {"text"},
        {"audio"},
        {"image", "text"},
        {"text", "audio"},
    ]
    return [
        {name: value for name, value in source[number].items() if name in subset}
        for number, subset in enumerate(subsets)
    ]


def processed(run: Run, given: list[dict[str, Any]]) -> dict[str, Any]:
    """Process rows as a user would, modality by modality."""
    arrays: dict[str, Any] = {"rows": np.array(len(given))}
    for name, processor in load(run).model.processors.items():
        at = [number for number, row in enumerate(given) if name in row]
        inputs = processor.collate([processor.decode(given[number][name]) for number in at])
        arrays |= {f"{name}/at": np.array(at)} | {f"{name}/{key}": x.numpy() for key, x in inputs.items()}
    return arrays


def test_the_script_answers_as_the_run_does_without_fusion(
    exported: Exported, tiny_run: Run, tmp_path: Path
) -> None:
    np.savez(tmp_path / "mine.npz", **processed(tiny_run, rows()))
    moved = shutil.copytree(exported.folder, tmp_path / "elsewhere")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(moved / "predict.py"), str(tmp_path / "mine.npz")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    expected = load(tiny_run).predict(rows())["digit"]
    assert set(told) == {"digit/value", "digit/score"}
    torch.testing.assert_close(torch.tensor(told["digit/score"]), expected.score, rtol=0, atol=1e-4)
    assert told["digit/value"] == expected.value.tolist()
    assert expected.score.std(dim=0).max() > 1e-3  # rows are answered differently


def test_fusion_is_blocked_in_that_test() -> None:
    script = BLOCKED.replace('runpy.run_path(sys.argv[0], run_name="__main__")', "import fusion.model")
    done = subprocess.run([sys.executable, "-c", script, "x"], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError" in done.stderr or "ImportError" in done.stderr


def test_the_folder_holds_all_that_is_needed_and_tells_it(exported: Exported, tiny_run: Run) -> None:
    suffix = {"onnx": ".onnx", "torch": ".pt2"}[exported.folder.name]
    graphs = {f"{name}{suffix}" for name in ("image", "text", "audio", "head")}
    assert {path.name for path in exported.files} == graphs | {"model.json", "example.npz", "predict.py"}
    model = json.loads((exported.folder / "model.json").read_text("utf-8"))
    image = model["encoders"]["image"]
    assert image["inputs"]["x"] == {
        "dtype": "float32",
        "shape": ["rows", 3, 16, 16],
        "range": [0.0, pytest.approx(1, abs=0.3)],
    }
    assert model["encoders"]["text"]["inputs"]["ids"]["shape"] == ["rows", "length"]
    width = load(tiny_run).model.width
    vector = {"dtype": "float32", "shape": ["rows", width], "blank": [width]}
    assert image["outputs"] == {"vector": vector}
    assert image["encoder"]["name"] == "scratch-image"
    assert model["classes"] == tiny_run.recipe.classes
    assert model["weights"] == tiny_run.manifest["files"]["model.safetensors"]
    assert exported.apart < 1e-5


def test_the_example_has_every_subset(exported: Exported) -> None:
    with np.load(exported.folder / "example.npz", allow_pickle=False) as example:
        assert example["rows"] == 7
        present = np.stack([np.isin(range(7), example[f"{m}/at"]) for m in ("image", "text", "audio")])
        assert len({tuple(column) for column in present.T}) == 7
        made = FORMATS[exported.folder.name].script().answer(exported.folder, example)
    assert made["digit/score"].shape == (7, 10)


def test_graphs_of_other_weights_are_found_out(exported: Exported, tiny_run: Run, registry: Registry) -> None:
    predictor = load(tiny_run, registry=registry)
    found = specimens(predictor.model, tiny_run.recipe, registry)
    assert check(exported.folder, predictor, found, exported.folder.name) < 1e-5
    with torch.no_grad():
        predictor.model.align["audio"].project.weight.mul_(-1.01)
    with pytest.raises(RunError, match=r"the graphs give another fused than the run: .* 0\.0001 is allowed"):
        check(exported.folder, predictor, found, exported.folder.name)


def test_a_folder_that_is_taken_stays(tiny_run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(RunError, match="exists"):
        export(tiny_run, "torch", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_fails_leaves_nothing(tiny_run: Run, tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(DataError, match="unknown source 'tset'; did you mean 'test'"):
        export(tiny_run, "torch", tmp_path / "out", source="tset", registry=registry)
    assert not [*tmp_path.iterdir()]


def test_a_modality_that_no_row_has_is_named(tiny_run: Run, tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(RunError, match="has the modality 'audio'"):
        export(tiny_run, "torch", tmp_path / "out", source="seen", registry=registry)


def test_a_format_says_what_it_needs(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(
        RunError, match=r"needs onnxscript, which is not installed: pip install 'fusion-bind\[onnx\]'"
    ):
        export(tiny_run, "onnx", tmp_path / "out")
    with pytest.raises(RunError, match="format is 'tflite'; known: onnx, torch"):
        export(tiny_run, "tflite", tmp_path / "out")
