"""fusion merge: what its options are read as, and what it answers."""

from collections.abc import Callable

import pytest

from fusion import Run
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


def test_two_runs_become_a_run(fusion: Fusion, tiny_run: Run) -> None:
    found = fusion(
        "merge", tiny_run.folder, tiny_run.folder, "evaluate.limit=6", "--method=average",
        "--weights=1,3", "--parts", "image=1:0,fuser=2:2", "--out", "merged",
    )  # fmt: skip
    assert (found.code, found.err) == (0, "")
    assert "Subsets of modalities" in found.out
    assert found.out.endswith("run     merged\nreport  merged/report.html\n")
    run = Run("merged")
    assert [one["weight"] for one in run.manifest["merge"]["runs"]] == [0.25, 0.75]
    assert run.manifest["merge"]["parts"] == {"image": [1.0, 0.0], "fuser": [0.5, 0.5]}
    assert run.metrics["evaluate/rows"] == 6
    assert run.report.is_file()


def test_options_of_the_method_are_set_and_the_metrics_are_json(fusion: Fusion, tiny_run: Run) -> None:
    given = ["--method=dare", "--base", tiny_run.folder, "--set", "drop=0.5", "--set", "seed=3"]
    found = fusion("merge", tiny_run.folder, *given, "evaluate.sources={}", "--json", "--out", "merged")
    assert found.json == Run("merged").metrics
    assert Run("merged").manifest["merge"]["options"] == {"drop": 0.5, "seed": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method=average", "--weights=1,a"], "'1,a' are not numbers such as 1,0.5"),
        (["--method=average", "--parts=image"], "'image' is not written PART=WEIGHT, such as image=0.7"),
        (["--method=ties", "--set=density"], "--set 'density': write it KEY=VALUE, such as density=0.5"),
        (["--method=average", "width=3"], "'width=3': width cannot change after training"),
        ([], "Missing option '--method'"),
    ],
)
def test_wrong_usage_is_told(fusion: Fusion, tiny_run: Run, arguments: list[str], message: str) -> None:
    found = fusion("merge", tiny_run.folder, *arguments)
    assert found.code == 2
    assert message in found.err


def test_an_unknown_method_names_those_there_are(fusion: Fusion, tiny_run: Run) -> None:
    found = fusion("merge", tiny_run.folder, "--method=tie")
    assert found.code == 1
    assert "unknown merging 'tie'; did you mean 'ties'? known: average, dare, greedy-soup" in found.err
