"""A pickle in the place of each file that a run may hold, and numbers in that of each that a report shows."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion import FusionError, Registry, Run, compress, load
from fusion.files import json_bytes, sha256
from fusion.priors.information import read_fisher
from fusion.recipe.picks import Pick
from fusion.report.page import render
from fusion.report.stress import Record
from fusion.search.index import Index
from fusion.search.update import update
from fusion.shrink import speed
from fusion.training import checkpoint
from fusion.training.verify import verify
from fusion.transfer.fisher import fisher, write
from tests.safety.conftest import Payload
from tests.safety.test_fuzz import VALUES

NOTES = {"a": {"caption": "a", "columns": ["x", "y"], "rows": [["1", "2"]], "note": "", "names": 1}}


@pytest.fixture(scope="module")
def whole(tiny_run: Run, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all that commands leave in one; it was compressed, and its checkpoints are those before."""
    place = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "BUDGET", 0.0)
        int8, few = Pick.model_validate({"name": "int8", "least": 64}), ["evaluate.sources.test.limit=8"]
        made = compress(tiny_run, place, chosen=[int8], max_drop=1.0, overrides=few).run
    assert made is not None
    shutil.copytree(tiny_run.checkpoints, made.checkpoints)
    for name in ("metrics.jsonl", "evaluation.json"):
        shutil.copy(tiny_run.folder / name, place)
    accelerator, trained = Accelerator(cpu=True), load(tiny_run, "cpu", registry).model
    write(made, fisher(trained, tiny_run.recipe, registry, accelerator, 8, 8))
    update(made, load(made, "cpu", registry).model, made.recipe, "test", registry, accelerator)
    record = Record(stress="corruption", axis="severity", seed=0).model_dump()
    for name, content in {
        "stress-corruption.json": record,
        "notes.json": NOTES,
        "calibration.json": {},
        "ledger.jsonl": {"source": "test", "row": 1, "reason": "broken"},
    }.items():
        (place / name).write_bytes(json.dumps(content).encode() + b"\n")
    vouch(place, "calibration.json")
    return place


def vouch(folder: Path, name: str) -> None:
    """Write into the manifest that a file is as it was written."""
    record = json.loads((folder / "manifest.json").read_text())
    record["files"][name] = sha256(folder / name)
    (folder / "manifest.json").write_bytes(json_bytes(record))


def uses(folder: Path, registry: Registry) -> list[Callable[[], Any]]:
    """Return what reads files of a run."""
    return [
        lambda: load(folder, "cpu", registry).encode({"text": "seven"}),
        lambda: expect_whole(folder, registry),
        lambda: render(folder),
        lambda: [Index.open(Run(folder), registry=registry).parts],
        lambda: information(folder),
        lambda: [checkpoint.load(place) for place in checkpoint.all_in(folder / "checkpoints")],
    ]


def expect_whole(folder: Path, registry: Registry) -> None:
    if any(verify(Run(folder), registry).files.values()):
        raise FusionError("verify says that a file is damaged")


def information(folder: Path) -> None:
    earlier: Any = SimpleNamespace(sha256=sha256(folder / "model.safetensors"), path=folder)
    try:
        read_fisher(folder, earlier)
    except ValueError as error:  # which becomes an error of the recipe, at `prior`
        raise FusionError(str(error)) from error


def refused(use: Callable[[], Any]) -> bool:
    try:
        use()
    except FusionError:
        return True
    return False


def test_a_whole_run_is_read(whole: Path, registry: Registry) -> None:
    assert [refused(use) for use in uses(whole, registry)] == [False] * 6


@pytest.mark.parametrize("vouched", [False, True])
def test_no_file_of_a_run_runs(
    vouched: bool, whole: Path, registry: Registry, payload: Payload, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    files = [path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()]
    read = set()
    for name in files:
        (folder / name).write_bytes(pickle.dumps(payload))
        if vouched and name in json.loads((whole / "manifest.json").read_text())["files"]:
            vouch(folder, name)
        outcomes = [refused(use) for use in uses(folder, registry)]
        if any(outcomes):
            read.add(name)
        for changed in (name, "manifest.json", "report.html"):
            shutil.copy(whole / changed, folder / changed)
    assert set(files) - read == {"report.html"}  # nothing reads it
    assert len(read) > 20


SHOWN = [
    *("comparison.json", "evaluation.json", "ledger.jsonl", "manifest.json", "metrics.json"),
    *("metrics.jsonl", "notes.json", "stress-corruption.json"),
]


@pytest.fixture(scope="module")
def shown(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(whole, tmp_path_factory.mktemp("shown") / "run"))


@settings(max_examples=80)
@given(data=st.data())
def test_a_report_is_drawn_or_refused(whole: Path, shown: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(SHOWN))
    text = (whole / name).read_text()
    first, *others = text.splitlines() if name.endswith("l") else [text]
    content = json.loads(first)
    key = data.draw(st.sampled_from(sorted(content)))
    inner = content[key]
    if isinstance(inner, dict) and inner and data.draw(st.booleans()):
        inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(VALUES)
    else:
        content[key] = data.draw(VALUES)
    (shown / name).write_text("\n".join([json.dumps(content), *others, ""]))
    try:
        refused(lambda: render(shown))
    finally:
        shutil.copy(whole / name, shown / name)
