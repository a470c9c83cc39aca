"""fusion evaluate --stress: what is printed, kept in the run and shown, and that nothing else is written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Run
from fusion.report.page import render
from fusion.report.stress import Record
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]
SMALL = (
    "--stress",
    "corruption",
    "--kinds",
    "image-contrast,text-case",
    "--severities",
    "1,5",
    "--rows",
    "20",
)


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run.folder, tmp_path / "run"))


def test_it_is_kept_in_the_run_and_shown_in_its_report(fusion: Fusion, run: Path) -> None:
    before = {path.name for path in run.iterdir()}
    found = fusion("evaluate", run, *SMALL)
    assert (found.code, found.err) == (0, "")
    assert "Does fusing help? accuracy\n" in found.out
    assert "image damaged\n" in found.out
    assert "text damaged\n" in found.out
    assert "audio damaged\n" not in found.out
    assert found.out.endswith(f"report  {run / 'report.html'}\n")
    assert {path.name for path in run.iterdir()} == before | {"stress-corruption.json"}
    record = Record.model_validate_json((run / "stress-corruption.json").read_bytes())
    assert record.rows == 20
    assert {(point.kind, point.severity) for point in record.points} == {
        (kind, severity) for kind in ("image-contrast", "text-case") for severity in (1, 5)
    }
    page = run / "report.html"
    kept = page.read_text("utf-8")
    assert 'id="corruption"' in kept
    assert "accuracy, image damaged" in kept
    page.unlink()
    render(run)
    assert page.read_text("utf-8") == kept


def test_json_is_the_record(fusion: Fusion, run: Path) -> None:
    found = fusion("evaluate", run, *SMALL, "evaluate.retrieval=[]", "--json").json
    assert found == json.loads((run / "stress-corruption.json").read_text("utf-8"))
    assert not [key for key in found["clean"] if key.startswith("retrieval/")]
    assert found["overrides"] == ["evaluate.retrieval=[]"]
    assert "Measured with evaluate.retrieval=[]." in (run / "report.html").read_text("utf-8")


def test_without_a_stress_nothing_is_written(fusion: Fusion, run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert fusion("evaluate", run, "evaluate.limit=5").code == 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("option", [("--kinds", "image-blur"), ("--severities", "1"), ("--rows", "5")])
def test_options_of_a_stress_need_one(fusion: Fusion, run: Path, option: tuple[str, str]) -> None:
    found = fusion("evaluate", run, *option)
    assert found.code == 2
    assert "--kinds, --severities and --rows are of a stress: add --stress NAME" in found.err


def test_what_is_wrong_is_said_and_leaves_the_run_alone(fusion: Fusion, run: Path) -> None:
    before = (run / "report.html").read_bytes()
    for given, said in {
        ("--stress", "corrosion"): "error: unknown stress 'corrosion'; did you mean 'corruption'?",
        (
            "--stress",
            "corruption",
            "--kinds",
            "blur",
        ): "error: unknown corruption of this run's modalities 'blur'",
        (
            "--stress",
            "corruption",
            "--severities",
            "9",
        ): "error: severity 9: corruptions have 1, 2, 3, 4 and 5",
    }.items():
        found = fusion("evaluate", run, *given)
        assert (found.code, found.out) == (1, "")
        assert found.err.startswith(said)
    assert fusion("evaluate", run, "--stress", "corruption", "--severities", "one").code == 2
    assert not (run / "stress-corruption.json").exists()
    assert (run / "report.html").read_bytes() == before


def test_a_damaged_record_is_named(fusion: Fusion, run: Path) -> None:
    (run / "stress-corruption.json").write_text('{"stress": "corruption"}', "utf-8")
    found = fusion("report", run)
    assert found.code == 1
    assert "stress-corruption.json: axis: Field required; evaluate the run again" in found.err
