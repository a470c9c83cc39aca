"""evaluate, predict, report and check: what a run or a recipe is asked."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from PIL import Image

from fusion import Predictor, Recipe, Registry, Run, load, train
from fusion.build import build_sources
from fusion.files import sha256
from fusion.picks import complete
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


@pytest.fixture(scope="module")
def row(tiny_run: Run, registry: Registry) -> dict[str, Any]:
    [source] = build_sources(tiny_run.recipe.evaluate.sources, registry).values()
    return dict(source[3])


@pytest.fixture(scope="module")
def predictor(tiny_run: Run, registry: Registry) -> Predictor:
    return load(tiny_run, "cpu", registry)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, tiny_run: Run, registry: Registry) -> Run:
    """A run with a task of every kind, of which none is about the recipe's ten classes."""
    data = tiny_run.recipe.model_dump(mode="json")
    data["objectives"] = {
        "number": {"name": "regress", "target": "label"},
        "pair": {"name": "regress", "target": "pair", "outputs": 2},
        "tags": {"name": "multilabel", "classes": 3},
        "speaker": {"name": "classify", "classes": 10, "target": "speaker"},
    }
    data["evaluate"] |= {"sources": {}, "zero_shot": None}
    data["train"]["steps"] = 2
    out = tmp_path_factory.mktemp("runs") / "several"
    return train(complete(Recipe(**data), registry), out, registry=registry)


def test_evaluating_again_finds_what_training_did(fusion: Fusion, tiny_run: Run) -> None:
    found = fusion("evaluate", tiny_run.folder, "--json")
    assert (found.code, found.err) == (0, "")
    sections = ("retrieval/", "zero_shot/", "subsets/", "contribution/", "evaluate/")
    assert found.json == {key: value for key, value in tiny_run.metrics.items() if key.startswith(sections)}


def test_evaluating_prints_tables(fusion: Fusion, tiny_run: Run) -> None:
    found = fusion("evaluate", tiny_run.folder).out
    assert [title for title in ("Retrieval", "Zero-shot", "Subsets of modalities") if title in found] == [
        "Retrieval",
        "Zero-shot",
        "Subsets of modalities",
    ]
    assert "image+text+audio" in found


def test_an_override_changes_what_is_measured(fusion: Fusion, tiny_run: Run) -> None:
    before = (tiny_run.folder / "metrics.json").read_bytes()
    found = fusion("evaluate", tiny_run.folder, "evaluate.limit=5", "evaluate.retrieval=[]", "--json").json
    assert found["evaluate/rows"] == 5
    assert not [key for key in found if key.startswith("retrieval/")]
    assert (tiny_run.folder / "metrics.json").read_bytes() == before


def test_a_prediction_is_that_of_the_predictor(
    fusion: Fusion, tiny_run: Run, predictor: Predictor, row: dict[str, Any]
) -> None:
    Image.fromarray(row["image"]).save("digit.png")
    soundfile.write("digit.wav", *row["audio"], subtype="FLOAT")
    given = {name: row[name] for name in ("image", "text", "audio")}
    found = fusion(
        "predict",
        tiny_run.folder,
        "--image",
        "digit.png",
        f"--text={row['text']}",
        "--audio=digit.wav",
        "--json",
    )
    assert (found.code, found.err) == (0, "")
    expected = predictor.predict(given)["digit"]
    assert found.json["digit"]["score"] == pytest.approx(expected.score[0].tolist(), abs=1e-5)
    assert found.json["digit"]["value"] == predictor.recipe.classes[int(expected.value[0])]


def test_a_prediction_is_printed_with_its_probability(
    fusion: Fusion, tiny_run: Run, predictor: Predictor
) -> None:
    lines = fusion("predict", tiny_run.folder, "--text", "the digit seven").out.splitlines()
    assert lines[0].split() == ["task", "answer", "score"]
    answer = predictor.predict({"text": "the digit seven"})["digit"]
    name = predictor.recipe.classes[int(answer.value[0])]
    assert lines[1].split() == ["digit", name, f"{answer.score.max().item():.3f}"]


def test_zero_shot_answers_for_every_other_modality(
    fusion: Fusion, tiny_run: Run, predictor: Predictor, row: dict[str, Any]
) -> None:
    Image.fromarray(row["image"]).save("digit.png")
    found = fusion(
        "predict", tiny_run.folder, "--image", "digit.png", "--text", "two", "--zero-shot", "--json"
    )
    assert set(found.json) == {"digit", "zero-shot image"}
    zero_shot = predictor.recipe.evaluate.zero_shot
    assert zero_shot is not None
    expected = predictor.zero_shot({"image": row["image"]}, predictor.recipe.classes, zero_shot.templates)[
        "image"
    ]
    assert found.json["zero-shot image"]["value"] == expected.labels[0]
    assert found.json["zero-shot image"]["score"] == pytest.approx(
        expected.probabilities[0].tolist(), abs=1e-5
    )


def test_every_kind_of_task_is_answered(fusion: Fusion, several: Run, registry: Registry) -> None:
    found = fusion("predict", several.folder, "--text", "seven", "--json").json
    answers = load(several, "cpu", registry).predict({"text": "seven"})
    assert set(found) == {"number", "pair", "tags", "speaker"}
    for name, answer in answers.items():
        # the recipe names the classes of another target, so a speaker is an index
        assert found[name]["value"] == pytest.approx(answer.value[0].tolist(), rel=1e-5)
        assert found[name]["score"] == pytest.approx(answer.score[0].tolist(), rel=1e-5)


def test_every_kind_of_answer_is_written(fusion: Fusion, several: Run, registry: Registry) -> None:
    lines = fusion("predict", several.folder, "--text", "seven").out.splitlines()
    answers = load(several, "cpu", registry).predict({"text": "seven"})
    written = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line}
    assert written["number"] == f"{answers['number'].value.item():.4g}"
    assert written["pair"] == ", ".join(f"{value:.4g}" for value in answers["pair"].value[0].tolist())
    chosen = [index for index, flag in enumerate(answers["tags"].value[0].tolist()) if flag]
    scores = [f"{answers['tags'].score[0, index].item():.3f}" for index in chosen]
    assert written["tags"] == f"{', '.join(map(str, chosen)) or 'none'} {', '.join(scores)}".strip()
    speaker = answers["speaker"]
    assert written["speaker"] == f"{speaker.value.item()} {speaker.score.max().item():.3f}"


def test_zero_shot_without_classes_is_wrong_usage(fusion: Fusion, several: Run) -> None:
    shutil.copytree(several.folder, "run")
    data = several.recipe.model_dump(mode="json") | {"classes": []}
    Path("run/recipe.yaml").write_text(yaml.safe_dump(data), "utf-8")
    record = several.manifest
    record["files"]["recipe.yaml"] = sha256(Path("run/recipe.yaml"))
    Run("run").write_json("manifest.json", record)
    found = fusion("predict", "run", "--text", "seven", "--zero-shot")
    assert found.code == 2
    assert "--zero-shot needs the names of the classes; the run's recipe has none" in found.err


def test_a_report_is_written_again(fusion: Fusion, tiny_run: Run) -> None:
    shutil.copytree(tiny_run.folder, "run")
    Path("run/report.html").unlink()
    assert fusion("report", "run") == (0, "run/report.html\n", "")
    assert Path("run/report.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_a_check_says_what_a_step_takes(fusion: Fusion) -> None:
    found = fusion("check", "bind_digits", "train.batch=12", "--json")
    assert (found.code, found.err) == (0, "")
    content = found.json
    assert content["sources"] == {
        "seen": {"rows": 1297, "in_batch": 8},  # weights 2 and 1
        "heard": {"rows": 720, "in_batch": 4},
    }
    assert content["present"] == {"image": 8, "text": 12, "audio": 4}
    total = sum(part["parameters"] for part in content["parts"].values())
    assert content["memory_mb"] == pytest.approx(total * 16 / 1e6)  # weight, gradient, two moments
    losses = content["losses"]
    assert losses["total"] == pytest.approx(losses["align"] + 0.5 * losses["digit"])
    assert np.isfinite([content["seconds"], content["peak_mb"]]).all()
    assert content["total_seconds"] == pytest.approx(350 * content["seconds"])
    assert list(Path().iterdir()) == []  # nothing is kept


def test_a_check_counts_frozen_parameters_as_not_trained(fusion: Fusion) -> None:
    content = fusion("check", "bind_digits", "train.batch=6", "encoders.text.tune.mode=frozen", "--json").json
    parts = content["parts"]
    assert parts["encoders.text"]["parameters"] > 0
    assert parts["encoders.text"]["trained"] == 0
    total, trained = (sum(part[key] for part in parts.values()) for key in ("parameters", "trained"))
    assert content["memory_mb"] == pytest.approx((4 * total + 12 * trained) / 1e6)
    assert sum(group["parameters"] for group in content["groups"]) == trained
    assert not [group for group in content["groups"] if "encoders.text" in group["parts"]]
    assert {group["weight_decay"] for group in content["groups"]} == {0.0, 0.05}


def test_a_check_tells_the_groups_of_the_optimiser(fusion: Fusion) -> None:
    found = fusion("check", "bind_digits", "train.batch=6", "encoders.text.tune.lr_scale=0.5").out
    [line] = [line for line in found.splitlines() if line.endswith(" encoders.text") and "0.05" in line]
    assert line.split()[:2] == ["0.001", "0.05"]


def test_a_check_tells_what_a_prior_holds_and_takes(fusion: Fusion) -> None:
    one = ("check", "bind_digits", "train.batch=6", "prior={name: l2}")
    content = fusion(*one, "--json").json
    total = sum(part["parameters"] for part in content["parts"].values())
    assert (
        f"l2 holds {total:,} of {total:,} parameters that learn; tensors: align.audio 3 of 3"
        in content["prior"]
    )
    assert {group["weight_decay"] for group in content["groups"]} == {0.0}
    assert 0 < content["prior_seconds"] < 1
    assert content["memory_mb"] == pytest.approx(total * 16 / 1e6)  # zero takes no memory
    steps = content["seconds"] + content["prior_seconds"]
    assert content["total_seconds"] == pytest.approx(350 * steps)
    assert re.search(
        r"\nprior   l2 holds .*\n {8}\d+\.\d\d ms more for each step, [\d.e+-]+ %\n", fusion(*one).out
    )


def test_a_check_is_printed_as_tables(fusion: Fusion) -> None:
    found = fusion("check", "bind_digits", "train.batch=6").out
    assert [line.split()[0] for line in found.splitlines() if line][:3] == ["source", "seen", "heard"]
    assert "scratch-text of plugin 'scratch' (fusion-bind 0.1.0)" in found
    assert "MB at peak" in found


def test_a_check_finds_an_evaluation_source_that_cannot_be_read(fusion: Fusion) -> None:
    recipe = """
from fusion import Recipe, read_recipe

data = read_recipe("bind_digits").model_dump(mode="json")
data["evaluate"]["target"] = "text"  # not a class
recipe = Recipe(**data)
"""
    Path("wrong.py").write_text(recipe, "utf-8")
    found = fusion("check", "wrong.py", "train.batch=6")
    assert found.code == 1
    assert found.err.startswith(
        "error: evaluate.sources.test: none of the first 16 rows can be read, such as"
    )
    assert "target 'text' is " in found.err
