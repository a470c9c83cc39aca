"""What the page says, without a browser."""

import base64
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from fusion_digits.source import Digits
from PIL import Image

from fusion import Registry, Run, load
from fusion.app.answers import Answers
from fusion.cli import cli


@pytest.fixture(scope="module")
def answers(tiny_run: Run, registry: Registry) -> Answers:
    return Answers(load(tiny_run, "cpu", registry))


def picture() -> str:
    held = io.BytesIO()
    Image.fromarray(Digits(split="test")[0]["image"]).save(held, "PNG")
    return json.dumps({"base64": base64.b64encode(held.getvalue()).decode()})


def test_the_answer_is_that_of_the_run(answers: Answers) -> None:
    page = answers("", picture(), "", "")
    row = {"image": Image.fromarray(Digits(split="test")[0]["image"])}
    predicted = answers.predictor.predict(row)["digit"]
    best = answers.predictor.recipe.classes[int(predicted.value)]
    assert f"<h3>{best}</h3>" in page
    assert f"{100 * predicted.score.max():.1f} %" in page
    assert "by your words" not in page
    assert "Nearest" not in page  # there is no index


def test_classes_that_are_typed_are_ranked(answers: Answers) -> None:
    page = answers("the digit one\r\n\n the digit two", picture(), "", "")
    found = answers.predictor.zero_shot(
        {"image": Image.fromarray(Digits(split="test")[0]["image"])},
        ["the digit one", "the digit two"],
        answers.predictor.recipe.evaluate.zero_shot.templates,
    )["image"]
    assert f"<h3>{found.labels[0]}</h3>" in page
    assert f"{100 * found.probabilities[0].max():.1f} %" in page


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("", "", ""), "a row has one or more of image, text, audio"),
        (("/etc/passwd", "", ""), "image: this is not JSON"),
        (('"/etc/passwd"', "", ""), "image: given as a text; expected"),
        (('{"base64": "%"}', "", ""), "image: this is no base64"),
        (("", "x" * 20_001, ""), "text: a text of 20,001 characters"),
        (("", "", "[" * 100_000), "audio: this is not JSON"),
    ],
)
def test_what_cannot_be_read_is_told(answers: Answers, given: tuple[str, str, str], told: str) -> None:
    page = answers("", *given)
    assert 'role="alert"' in page
    assert told in page.replace("&#34;", '"')


def test_too_many_classes_and_too_long_a_name_are_told(answers: Answers) -> None:
    assert "1,001 classes are named; at most 1,000" in answers(
        "\n".join(map(str, range(1001))), picture(), "", ""
    )
    assert "text: a text of 20,001 characters" in answers("x" * 20_001, picture(), "", "")


def test_what_people_type_is_no_mark_up(answers: Answers) -> None:
    page = answers("<script>alert(1)</script>\nx", picture(), "", "")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_extra_is_named(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    for name in [name for name in __import__("sys").modules if name.startswith("fusion.app.page")]:
        monkeypatch.delitem(__import__("sys").modules, name)
    done = CliRunner().invoke(cli, ["app", str(tiny_run.folder)], obj=Registry())
    assert "pip install 'fusion-bind[app]'" in str(done.exception)
    assert Path(tiny_run.folder).is_dir()
