"""fusion rank: the table of candidates, its marks, and the agreement with runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Registry, Run, read_recipe
from fusion.run import create
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]
RECIPE = """
sources: {all: {name: digits, view: image, limit: 120}}
encoders: {image: {name: scratch-image, size: 16, dim: 16}}
width: 16
objectives: {digit: {name: classify, classes: 10}}
train: {steps: 5, batch: 20}
"""
WIDTHS = "encoders.image.dim=16,8"


@pytest.fixture
def recipe(fusion: Fusion) -> str:
    Path("mine.yaml").write_text(RECIPE, "utf-8")
    return "mine.yaml"


def test_candidates_are_rows_and_the_best_of_a_column_is_marked(fusion: Fusion, recipe: str) -> None:
    found = fusion("rank", recipe, "--over", WIDTHS, "--by", "probe,logme", "--rows", "100")
    assert (found.code, found.err) == (0, "")
    header, *rows = [line.split() for line in found.out.splitlines() if line]
    assert header == ["encoders.image.dim", "rows", "probe", "logme"]
    assert {row[0] for row in rows} == {"16", "8"}
    assert {row[1] for row in rows} == {"100"}
    probes = [float(row[2].rstrip("*")) for row in rows]
    assert probes == sorted(probes, reverse=True)
    assert rows[0][2].endswith("*")
    logme = {row[3].endswith("*"): float(row[3].rstrip("*")) for row in rows}
    assert logme[True] > logme[False]


def test_json_has_every_number(fusion: Fusion, recipe: str) -> None:
    encoders = "encoders.image={name: scratch-image, size: 16},{name: scratch-image, size: 8}"
    found = fusion("rank", recipe, "train.seed=3", "--over", encoders, "--json").json
    assert found["over"] == "encoders.image"
    assert {one["value"] for one in found["candidates"]} == {
        "{name: scratch-image, size: 16}",
        "{name: scratch-image, size: 8}",
    }
    for one in found["candidates"]:
        assert one["rows"] == {"image": 120}
        assert list(one["estimates"]) == ["logme", "hscore", "leep", "probe"]
        assert one["estimates"]["leep"] is None
        assert one["by_modality"]["leep"] == {"image": "it starts from no run that classifies"}
        assert one["estimates"]["probe"] == one["by_modality"]["probe"]["image"]
    logme = [one["estimates"]["logme"] for one in found["candidates"]]
    assert logme == sorted(logme, reverse=True)


def test_what_has_no_estimate_is_blank_and_it_is_said_why(fusion: Fusion, recipe: str, tiny_run: Run) -> None:
    changes = [
        f"encoders.image.{key}={tiny_run.recipe.encoders['image'].options[key]}" for key in ("size", "dim")
    ]
    found = fusion("rank", recipe, *changes, "--over", f"init={tiny_run.folder},null", "--by", "leep,logme")
    assert (found.code, found.err) == (0, "")
    lines = [line.split() for line in found.out.splitlines() if line]
    assert lines[1][0] == str(tiny_run.folder)
    assert len(lines[1]) == 4
    assert [lines[2][0], len(lines[2])] == ["null", 3]  # of two estimates one
    assert lines[4] == ["leep", "null", "it", "starts", "from", "no", "run", "that", "classifies"]


@pytest.fixture
def runs(recipe: str, registry: Registry) -> None:
    """Finished runs of both widths, two seeds each; the smaller one was better."""
    for width, accuracies in {16: (0.2, 0.4), 8: (0.5, 0.7)}.items():
        for seed, accuracy in enumerate(accuracies):
            overrides = [f"encoders.image.dim={width}", f"train.seed={seed}"]
            made = read_recipe(recipe, overrides, registry)
            run = create("mine", made, Path(f"done/{width}-{seed}"))
            run.write_json("metrics.json", {"subsets/image/accuracy": accuracy})
            run.write_json("manifest.json", {})


AGAINST = ("--against", "done", "--measure", "subsets/image/accuracy")


@pytest.mark.usefixtures("runs")
def test_a_ranking_is_compared_with_runs(fusion: Fusion, recipe: str) -> None:
    arguments = ("rank", recipe, "--over", WIDTHS, "--by", "logme", *AGAINST)
    found = fusion(*arguments, "--json").json
    assert {one["value"]: one["true"] for one in found["candidates"]} == {"16": [0.2, 0.4], "8": [0.5, 0.7]}
    agrees = found["candidates"][0]["value"] == "8"
    assert found["tau"] == {"logme": 1.0 if agrees else -1.0}
    lines = [line.split() for line in fusion(*arguments).out.splitlines() if line]
    assert lines[0] == ["encoders.image.dim", "rows", "logme", "subsets/image/accuracy"]
    assert {line[0]: line[-1] for line in lines[1:3]} == {"16": "0.3000", "8": "0.6000"}
    assert lines[3:] == [
        ["agreement", "with", "subsets/image/accuracy"],
        ["estimator", "Kendall's", "tau"],
        ["logme", "+1.000" if agrees else "-1.000"],
    ]


@pytest.mark.usefixtures("runs")
def test_an_estimator_without_numbers_has_no_agreement(fusion: Fusion, recipe: str) -> None:
    found = fusion("rank", recipe, "--over", WIDTHS, "--by", "leep", *AGAINST, "--json").json
    assert found["tau"] == {"leep": None}


def test_rows_that_cannot_be_read_are_told(fusion: Fusion) -> None:
    rows = ["image,label", *(f"none.png,{number % 2}" for number in range(2))]
    Path("rows.csv").write_text("\n".join(rows), "utf-8")
    table = RECIPE.replace("{all: ", "{torn: {name: datasets, data: rows.csv}, all: ").replace(
        "batch: 20", "batch: 4"
    )
    Path("torn.yaml").write_text(table, "utf-8")
    found = fusion("rank", "torn.yaml", "--over", WIDTHS, "--by", "logme")
    assert found.code == 0
    assert found.err.count("2 rows cannot be read, such as row") == 2
    assert "warning: 16: 2 rows cannot be read" in found.err
    assert " of torn: image: " in found.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "Missing option '--over'"),
        (("--over", "init"), 1, "init: values are written path=V1,V2, such as init=runs/a,runs/b,null"),
        (("--over", "init=null,null"), 1, "init: null stands twice; give it once"),
        (("--over", "encoders.image.dim=16,x"), 1, "encoders.image.dim: 'x' does not fit (dim: int = 128)"),
        (("--over", WIDTHS, "--by", "logmee"), 1, "unknown estimator 'logmee'; did you mean 'logme'?"),
        (("--over", WIDTHS, "--by", "logme]"), 1, "--by:1: not YAML"),
        (("--over", WIDTHS, "--modality", "text"), 1, "unknown modality 'text'; known: image"),
        (("--over", WIDTHS, "--measure", "x"), 2, "--against and --measure go together"),
        (("--over", WIDTHS, "--against", "."), 2, "--against and --measure go together"),
        (
            ("--over", WIDTHS, "--against", ".", "--measure", "x"),
            1,
            "no finished run in . is of candidate 16",
        ),
    ],
)
def test_wrong_use_is_told(
    arguments: tuple[str, ...], code: int, said: str, fusion: Fusion, recipe: str
) -> None:
    found = fusion("rank", recipe, *arguments)
    assert found.code == code
    assert said in found.err
