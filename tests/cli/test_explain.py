"""fusion predict --explain: what an answer rests on, in a table, as JSON and as a page without a network."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from PIL import Image

from fusion import Predictor, Registry, Run, load
from fusion.build import build_sources
from fusion.report.numbers import NOTHING
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


@pytest.fixture(scope="module")
def row(tiny_run: Run, registry: Registry) -> dict[str, Any]:
    [source] = build_sources(tiny_run.recipe.evaluate.sources, registry).values()
    return {name: source[3][name] for name in ("image", "text", "audio")}


@pytest.fixture(scope="module")
def predictor(tiny_run: Run, registry: Registry) -> Predictor:
    return load(tiny_run, "cpu", registry)


@pytest.fixture
def given(fusion: Fusion, row: dict[str, Any]) -> list[str]:
    Image.fromarray(row["image"]).save("digit.png")
    soundfile.write("digit.wav", *row["audio"], subtype="FLOAT")
    return ["--image=digit.png", "--audio=digit.wav", f"--text={row['text']}", "--explain"]


def test_contributions_are_in_the_json_beside_the_answer(
    fusion: Fusion, tiny_run: Run, predictor: Predictor, row: dict[str, Any], given: list[str]
) -> None:
    found = fusion("predict", tiny_run.folder, *given, "--nearest", 2, "--source", "heard", "--json")
    assert (found.code, found.err) == (0, "")
    digit, expected = found.json["digit"], predictor.explain(row, nearest=2, source="heard")
    told = expected.contributions["digit"]
    assert digit["contributions"] == pytest.approx(
        {name: float(part) for name, part in told.parts.items()}, abs=1e-5
    )
    total = digit["nothing"] + sum(digit["contributions"].values())
    assert total == pytest.approx(max(digit["score"]), abs=1e-6)
    assert found.json["explanation"]["shares"] == pytest.approx(expected.shares, abs=1e-5)
    near = found.json["explanation"]["nearest"]
    assert near["image"] == []  # no row of this source has one
    assert [one["row"] for one in near["audio"]] == [one.row for one in expected.nearest["audio"]]
    assert near["audio"][0].keys() == {"source", "row", "similarity", "rows"}


def test_tables_tell_what_is_added_to_what(fusion: Fusion, tiny_run: Run, given: list[str]) -> None:
    out = fusion("predict", tiny_run.folder, *given).out
    lines = [line.split() for line in out.splitlines()]
    start = lines.index(["shown", "contribution", "share"])
    table = {
        line[0]: [None if cell == NOTHING else float(cell) for cell in line[1:]]
        for line in lines[start + 1 : start + 6]
    }
    assert list(table) == ["nothing", "image", "text", "audio", "all"]
    names = ("image", "text", "audio")
    total = table["nothing"][0] + sum(table[name][0] for name in names)  # type: ignore[operator, misc]
    assert total == pytest.approx(table["all"][0], abs=3e-4)  # four digits are printed
    assert sum(table[name][1] for name in names) == pytest.approx(1, abs=2e-4)  # type: ignore[misc]
    assert "It is no effect" in out
    assert "Nearest" not in out


def test_the_page_holds_everything_and_needs_nothing(
    fusion: Fusion, tiny_run: Run, row: dict[str, Any], given: list[str]
) -> None:
    found = fusion("predict", tiny_run.folder, *given, "--nearest", 2, "--html", "why.html")
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines()[-1] == "page  why.html"
    page = Path("why.html").read_text("utf-8")
    assert not re.search(r"(src|href)=\"(?!data:|#)|url\(|<script", page)
    assert page.count('class="maps"') == 2  # of the picture and the sound
    [tokens] = re.findall(r'<p class="tokens">(.*?)</p>', page)
    assert "".join(re.findall(r">([^<]*)</span>", tokens)) == row["text"]
    assert len(re.findall(r"seen, row [\d,]+; cosine", page)) >= 2
    assert len(re.findall(r"heard, row [\d,]+; cosine", page)) >= 2
    assert page.count("<audio ") == 1 + 2


def test_without_the_extra_the_page_says_which(
    fusion: Fusion, tiny_run: Run, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    found = fusion("predict", tiny_run.folder, *given, "--html", "why.html")
    assert (found.code, found.out) == (1, "")
    assert "pip install 'fusion-bind[explain]'" in found.err
    assert not Path("why.html").exists()
    assert fusion("predict", tiny_run.folder, *given).code == 0  # contributions need none
