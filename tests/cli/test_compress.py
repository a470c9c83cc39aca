"""fusion compress: how its options are read, what it says, and its exit codes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Run
from fusion.shrink import speed
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "BUDGET", 0.0)


def test_a_run_becomes_a_smaller_run(fusion: Fusion, tiny_run: Run) -> None:
    found = fusion(
        "compress", tiny_run.folder, "evaluate.limit=8", "--with", "low-rank", "energy=0.5",
        "--max-drop", "1", "--out", "small",
    )  # fmt: skip
    assert (found.code, found.err) == (0, "")
    lines = [line.split() for line in found.out.splitlines()]
    assert lines[0] == ["Made", "of", str(tiny_run.folder)]
    assert lines[1] == ["measured", "before", "after", "change", "verdict"]
    by_name = {tuple(line[:3]): line for line in lines[2:] if line}
    assert by_name["retrieval/image", "→", "text/hit@1"][-1] == "kept"
    assert next(line for line in lines if line[:1] == ["file/bytes"])[3] == "x"
    assert found.out.endswith("run     small\nreport  small/report.html\n")
    assert Run("small").recipe.evaluate.limit == 8


def test_what_is_compared_is_json(fusion: Fusion, tiny_run: Run) -> None:
    given = ["--with", "low-rank", "energy=0.5", "--metric=evaluate/rows", "evaluate.limit=8", "--json"]
    found = fusion("compress", tiny_run.folder, *given, "--out", "small").json
    assert found["folder"] == "small"
    assert found["by"] == [{"name": "low-rank", "options": {"energy": 0.5}}]
    asked = [line for line in found["lines"] if line["kept"] is not None]
    assert asked == [{"key": "evaluate/rows", "before": 8.0, "after": 8.0, "kept": True}]
    assert {key: found[key] for key in ("run", "max_drop", "trained")} == {
        "run": str(tiny_run.folder), "max_drop": 0.01, "trained": 0,
    }  # fmt: skip


def test_a_student_and_options_of_several_compressions_are_read(
    fusion: Fusion, tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {}

    def compress(run: Path, out: Path, **options: object) -> None:
        given.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("fusion.shrink.compress.compress", compress)
    words = (
        "--with low-rank energy=0.5 --distil width=8 encoders.text.dim=8 --steps 3 --with=other a=1 b=[x,2]"
        " --max-drop 0.02 --metric a --metric b"
    )
    found = fusion("compress", tiny_run.folder, "evaluate.limit=8", *words.split())
    assert found.code == 130
    assert [one.model_dump() for one in given["chosen"]] == [  # type: ignore[attr-defined]
        {"name": "low-rank", "energy": 0.5},
        {"name": "other", "a": 1, "b": ["x", 2]},
    ]
    assert given["distil"] == ("width=8", "encoders.text.dim=8")
    assert given["overrides"] == ("evaluate.limit=8",)
    assert (given["steps"], given["max_drop"], given["metrics"]) == (3, 0.02, ("a", "b"))


def test_what_is_worse_is_named_and_nothing_is_kept(fusion: Fusion, tiny_run: Run) -> None:
    found = fusion(
        "compress", tiny_run.folder, "evaluate.limit=8", "--with", "low-rank", "energy=0.01",
        "--max-drop", "0", "--metric=subsets/text/entropy", "--metric=retrieval/text->audio/mrr",
    )  # fmt: skip
    assert found.code == 1
    worse = [line for line in found.out.splitlines() if line.endswith("worse")]
    assert worse
    assert found.err.startswith("error: ")
    assert all(line.split()[0].split(" →")[0] in found.err for line in worse)
    assert found.err.endswith("; more than --max-drop 0, so nothing was kept\n")
    assert not Path("runs").exists()
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--with", "low-rnk"], 1, "unknown compression 'low-rnk'; did you mean 'low-rank'? known:"),
        (
            ["--with", "low-rank", "enrgy=1"],
            1,
            "compress: low-rank.enrgy: unknown option of low-rank 'enrgy'; did you mean",
        ),
        (["--with", "low-rank", "energy=2"], 1, "low-rank.energy"),
        (["--with", "energy=2"], 2, "'energy=2': give the name of a compression first"),
        ([], 1, "nothing says how the run becomes smaller; give --with NAME, or --distil KEY=VALUE"),
        (["--recover", "3"], 1, "nothing says how the run becomes smaller"),
        (["--with", "low-rank", "--recover", "0"], 2, "0 is not in the range x>=1"),
        (["--with", "low-rank", "--max-drop", "-1"], 2, "-1.0 is not in the range x>=0"),
        (["--with", "low-rank", "--steps", "3"], 2, "--steps is how long a student learns"),
        (["--distil", "width=8", "--recover", "3"], 1, "a student is trained anyway"),
        (["width=8", "--with", "low-rank"], 2, "'width=8': width cannot change after training"),
        (["train.lr=1", "--with", "low-rank"], 2, "without --recover only what is measured can change"),
        (["--with", "low-rank", "--metric", "accuracy"], 1, "--metric: unknown metric 'accuracy'"),
    ],
)
def test_what_is_wrong_is_told(
    fusion: Fusion, tiny_run: Run, arguments: list[str], code: int, message: str
) -> None:
    found = fusion("compress", tiny_run.folder, *arguments)
    assert found.code == code
    assert message in found.err
    assert list(Path.cwd().iterdir()) == []


def test_a_folder_that_is_no_run_is_told(fusion: Fusion) -> None:
    found = fusion("compress", "nowhere", "--with", "low-rank")
    assert (found.code, found.err.split(";")[0]) == (1, "error: nowhere is not a run: it has no recipe.yaml")
