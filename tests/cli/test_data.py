"""fusion data: tables, JSON, and a page."""

from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


def test_data_tells_what_the_sources_of_a_recipe_hold(fusion: Fusion) -> None:
    found = fusion("data", "bind_digits", "--sample", 20)
    assert found.code == 0, found.err
    lines = [line.split() for line in found.out.splitlines()]
    assert lines[1] == ["source", "rows", "looked", "at", "image", "text", "audio", "label", "bad"]
    assert lines[2] == ["sources.seen", "1,297", "20", "20", "20", "0", "20", "0"]
    assert lines[3] == ["sources.heard", "720", "20", "0", "20", "20", "20", "0"]


def test_data_as_json_has_no_pictures(fusion: Fusion) -> None:
    found = fusion("data", "bind_digits", "--sample", 20, "--json").json
    assert [part["source"] for part in found] == ["sources.seen", "sources.heard", "evaluate.sources.test"]
    assert found[0]["present"] == {"image": 20, "text": 20, "audio": 0}
    assert sum(found[2]["labels"].values()) == 20
    assert "shown" not in found[0]


def test_data_writes_a_page_with_pictures_and_sounds(fusion: Fusion, tmp_path: Path) -> None:
    found = fusion("data", "bind_digits", "--sample", 4, "--html", "data.html")
    assert found.code == 0, found.err
    assert found.out.splitlines()[-1] == "page  data.html"
    page = (tmp_path / "data.html").read_text("utf-8")
    assert page.count('<img src="data:image/png') >= 8
    assert page.count('<audio controls preload="metadata" src="data:audio/wav') >= 8


def test_a_page_that_cannot_be_written_is_told(fusion: Fusion) -> None:
    found = fusion("data", "bind_digits", "--sample", 4, "--html", "nowhere/data.html")
    assert found.code == 1
    assert found.err.startswith("error: cannot write nowhere/data.html: ")
    assert "Traceback" not in found.err


def test_an_unknown_recipe_is_told(fusion: Fusion) -> None:
    found = fusion("data", "bind_digit")
    assert found.code == 1
    assert "bind_digits" in found.err


def test_rows_can_be_looked_at_without_the_weights_of_the_encoders(fusion: Fusion) -> None:
    missing = "encoders.text={name: hf-text, model: org/not-here}"
    found = fusion("data", "bind_digits", missing, "--sample", 4)
    assert found.code == 1
    assert "the model 'org/not-here' is not on this machine" in found.err
    told = fusion("data", "bind_digits", missing, "--sample", 4, "--tiny", "--json").json
    assert [part["present"]["text"] for part in told] == [4, 4, 4]


def test_rows_of_which_some_have_a_label_are_counted(fusion: Fusion, tmp_path: Path) -> None:
    (tmp_path / "half.csv").write_text("text,label\na,1\nb,\nc,0\nd,1\n")
    source = "{name: datasets, data: half.csv}"
    found = fusion("data", "bind_digits", f"sources={{all: {source}}}", "--json").json
    assert found[0]["targets"] == {"label": 3}
    assert found[0]["labels"] == {"0": 1, "1": 2}


def test_what_nothing_reads_is_named(fusion: Fusion, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("photo,text,size\na.png,a,3\n,b,4\n")
    source = "sources={all: {name: datasets, data: rows.csv}}"
    said = "nothing reads photo, size of sources.all; the recipe reads image, text, audio, label\n"
    assert said in fusion("data", "bind_digits", source).out
    told = fusion("data", "bind_digits", source, "--json").json
    assert [part["unread"] for part in told] == [["photo", "size"], []]
