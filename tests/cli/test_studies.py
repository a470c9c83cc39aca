"""study and compare, as a terminal would call them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import RecipeError, Run
from fusion.cli.show import table
from fusion.recipe.axis import Range, axis
from fusion.recipe.text import dump, parse
from fusion.report.tables import Mark, Marked
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]
KEY = "subsets/image+text+audio/accuracy"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fuser.name=mean,gate", ("fuser.name", ["mean", "gate"])),
        ("train.lr=1e-3,0.5", ("train.lr", [0.001, 0.5])),
        ("train.lr=[1e-3, 0.5]", ("train.lr", [0.001, 0.5])),
        (
            "tune={mode: lora, rank: 4},{mode: full}",
            ("tune", [{"mode": "lora", "rank": 4}, {"mode": "full"}]),
        ),
        ("init=null,@fashion,@a/model.safetensors", ("init", [None, "@fashion", "@a/model.safetensors"])),
        ("teacher={run: @a}", ("teacher", [{"run": "@a"}])),
        ("subsets=[[image]],all", ("subsets", [[["image"]], "all"])),
    ],
)
def test_values_are_read_as_yaml(text: str, expected: tuple[str, list[object]]) -> None:
    assert axis(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log:1e-4:1e-2", Range(1e-4, 1e-2, whole=False, log=True)),
        ("float:0:0.5", Range(0.0, 0.5, whole=False, log=False)),
        ("int:32:128", Range(32, 128, whole=True, log=False)),
        (" logint:16:1024 ", Range(16, 1024, whole=True, log=True)),
    ],
)
def test_a_range_is_read(text: str, expected: Range) -> None:
    path, found = axis(f"train.x={text}")
    assert (path, found) == ("train.x", expected)
    assert axis(f"train.x={found}")[1] == expected
    assert found != axis('train.x="int:1:2"')[1] == ["int:1:2"]  # a text that looks like one is in quotes


def test_a_range_holds_what_lies_in_it() -> None:
    whole, log = Range(2, 8, whole=True, log=False), Range(0.1, 1.0, whole=False, log=True)
    assert [whole.holds(value) for value in (2, 8, 8.0, 2.5, 9, True, "2", None)] == [True] * 3 + [False] * 5
    assert [log.holds(value) for value in (0.1, 1, 0.01)] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("int:1:2.5", "train.x: int:1:2.5 is not of whole numbers"),
        ("log:a:2", "train.x: log:a:2 is not of numbers"),
        ("float:2:2", "train.x: float:2.0:2.0 holds nothing to look in; LOW < HIGH expected"),
        ("log:0:1", "train.x: log:0.0:1.0 holds nothing to look in; 0 < LOW < HIGH expected"),
        ("float:0:inf", "train.x: float:0.0:inf holds nothing to look in; LOW < HIGH expected"),
        ("float:nan:1", "train.x: float:nan:1.0 holds nothing to look in; LOW < HIGH expected"),
    ],
)
def test_a_range_of_nothing_is_told(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)):
        axis(f"train.x={text}")


def test_a_study_takes_no_range(fusion: Fusion) -> None:
    found = fusion("study", "fuse_digits", "--over", "train.lr=log:1e-4:1e-2")
    assert found.code == 1
    assert "train.lr: log:0.0001:0.01 is a range, in which `fusion tune` looks for values" in found.err


@pytest.mark.parametrize("text", ["fuser.name", "=a,b", "fuser.name="])
def test_values_without_a_key_are_told(text: str) -> None:
    with pytest.raises(RecipeError, match=r"values are written path=V1,V2, such as init=runs/a,runs/b,null"):
        axis(text)


def test_a_study_prints_its_tables_and_can_be_compared_again(fusion: Fusion) -> None:
    words = ("study", "fuse_digits", "--tiny", "--seeds", 2, "--over", "fuser.name=mean,gate")
    found = fusion(*words, "--measure", KEY, "--baseline", "gate")
    assert found.code == 0, found.err
    folder = Path("runs/studies/fuse_digits-tiny")
    assert found.out.splitlines()[-1] == f"page    {folder / 'study.html'}"
    values = [Run(folder / f"gate-{seed}").metrics[KEY] for seed in (0, 1)]
    record = json.loads((folder / "study.json").read_text("utf-8"))
    assert record["versions"]["gate"]["values"][KEY]["by_seed"] == {"0": values[0], "1": values[1]}
    assert record["versions"]["mean"]["baseline"] == "gate"
    assert "[4/4] gate-1: trains" in found.err
    again = fusion("compare", folder, "--json")  # it knows the names, the measures and the baseline
    assert again.code == 0, again.err
    assert list(again.json["versions"]) == ["mean", "gate"]
    assert again.json["versions"]["mean"]["baseline"] == "gate"
    for name in ("mean", "gate"):
        assert again.json["versions"][name]["values"] == record["versions"][name]["values"]
        assert again.json["versions"][name]["gains"] == record["versions"][name]["gains"]
    assert (folder / "compare.html").is_file()


def test_a_study_of_a_file_fails_in_part_with_exit_code_1(fusion: Fusion) -> None:
    data = parse(fusion("recipes", "show", "fuse_digits").out)[0]
    data["study"] = {"versions": {"good": [], "bad": ["evaluate.limit=0.5"]}, "seeds": 1}
    Path("mine.yaml").write_text(dump(data), "utf-8")
    wrong = fusion("study", "mine.yaml", "--tiny")
    assert (wrong.code, wrong.out) == (1, "")
    assert "version 'bad': evaluate.limit: " in wrong.err
    assert not Path("runs").exists()
    data["study"]["versions"]["bad"] = ["sources.all={name: datasets, data: none.csv}"]
    Path("mine.yaml").write_text(dump(data), "utf-8")
    part = fusion("study", "mine.yaml", "--tiny")
    assert part.code == 1
    assert "Failed and left out: bad-0: sources.all: " in part.out
    assert Run("runs/studies/mine-tiny/good-0").finished
    trained = fusion("train", "mine.yaml", "--tiny", "--json")  # it ignores the section
    assert trained.code == 0, trained.err


def test_runs_that_are_not_there_are_one_error(fusion: Fusion) -> None:
    found = fusion("compare", "runs/none")
    assert (found.code, found.out) == (1, "")
    assert "error: runs/none is not a run" in found.err


def test_a_marked_cell_is_coloured_on_a_terminal_and_plain_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [["a", Marked("-1.0", Mark.WORSE)], ["b", Marked("2.0", Mark.BEST)]]
    table(("version", "gain"), rows)
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    table(("version", "gain"), rows)
    shown = capsys.readouterr().out
    assert "\x1b[31m-1.0" in shown
    assert "\x1b[1m2.0" in shown


def test_a_misspelt_baseline_is_told_before_anything_is_trained(fusion: Fusion) -> None:
    words = ("study", "fuse_digits", "--tiny", "--over", "fuser.name=mean,gate", "--baseline", "gat")
    found = fusion(*words)
    assert found.code == 1
    assert "baseline: unknown version 'gat'; did you mean 'gate'" in found.err
    assert "trains" not in found.err
    assert not Path("runs").exists()


def test_data_that_no_version_finds_are_told_before_anything_is_trained(
    fusion: Fusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FUSION_DATA", raising=False)
    found = fusion("study", "fashion_to_digits", "--tiny")
    assert found.code == 1
    assert "FUSION_DATA" in found.err
    assert "trains" not in found.err
    assert not Path("runs").exists()
