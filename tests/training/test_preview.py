"""What is told of the rows of sources before a training, in words, in JSON and as a page."""

from pathlib import Path

import pytest

from fusion import DataError, Registry
from fusion.report.preview import render, told
from fusion.training.preview import Preview, preview
from tests.training.toys import recipe


@pytest.fixture
def looked(registry: Registry) -> list[Preview]:
    changes = {
        "sources.seen.broken": [4, 7],
        "augment": {"image": [{"name": "toy-noise"}]},
        "evaluate": {"sources": {"test": {"name": "toy", "rows": 9}}},
    }
    return preview(recipe(changes), registry, sample=12)


def test_every_source_is_counted_in_a_sample_that_is_spread_over_it(looked: list[Preview]) -> None:
    seen, heard, test = looked
    assert [(part.source, part.rows, part.looked_at) for part in looked] == [
        ("sources.seen", 24, 12),
        ("sources.heard", 17, 12),
        ("evaluate.sources.test", 9, 9),
    ]
    assert seen.present == {"image": 11, "text": 11, "audio": 0}
    assert heard.present == {"image": 0, "text": 12, "audio": 12}
    assert test.present == {"image": 9, "text": 9, "audio": 9}
    assert test.targets == {"label": 9}
    assert test.labels == {0: 3, 1: 3, 2: 3}


def test_what_cannot_be_read_is_listed_with_its_reason(looked: list[Preview]) -> None:
    # of 0, 2, 4, 6 ... 23 only row 4 is among the broken ones
    assert [(row.row, row.reason) for row in looked[0].bad] == [(4, "text: torn")]
    assert looked[1].bad == looked[2].bad == []


def test_rows_are_shown_as_they_are_and_as_training_varies_them(looked: list[Preview]) -> None:
    first = looked[0].shown[0]
    assert (first.row, first.label) == (0, 0)
    assert [media["kind"] for media in first.given["image"]] == ["other"]
    assert list(first.given) == ["image", "text"]
    assert list(first.varied) == ["image"]  # the only modality that is augmented
    assert len(first.varied["image"]) == 3
    assert len({str(media["data"]) for media in first.varied["image"]}) == 3
    assert looked[2].shown[0].varied == {}  # nothing is varied in evaluation


def test_only_a_few_rows_are_shown(looked: list[Preview]) -> None:
    assert [len(part.shown) for part in looked] == [6, 6, 6]


def test_the_tables_tell_the_same(looked: list[Preview]) -> None:
    rows, classes, bad = told(looked, ["zero", "one", "two"])
    assert rows.columns == ["source", "rows", "looked at", "image", "text", "audio", "label", "bad"]
    assert rows.rows == [
        ["sources.seen", "24", "12", "11", "11", "0", "11", "1"],
        ["sources.heard", "17", "12", "0", "12", "12", "12", "0"],
        ["evaluate.sources.test", "9", "9", "9", "9", "9", "9", "0"],
    ]
    assert [row[0] for row in classes.rows] == ["zero", "one", "two"]
    assert [row[-1] for row in classes.rows] == ["3", "3", "3"]
    assert bad.rows == [["sources.seen", "4", "text: torn"]]


def test_a_source_of_which_no_row_can_be_read_is_told(registry: Registry, tmp_path: Path) -> None:
    changes = {"sources.heard.broken": list(range(17))}
    found = preview(recipe(changes), registry, sample=5)
    assert (found[1].present["audio"], len(found[1].bad), found[1].shown) == (0, 5, [])
    page = render("toy", found, [], tmp_path / "page.html").read_text("utf-8")
    assert "No row can be read." in page


def test_the_page_shows_what_varies_and_escapes_what_it_shows(registry: Registry, tmp_path: Path) -> None:
    found = preview(recipe({"sources.seen.broken": [0]}), registry, sample=3)
    page = render("<b>toy</b>", found, ["<i>zero</i>"], tmp_path / "page.html").read_text("utf-8")
    assert "&lt;b&gt;toy&lt;/b&gt;" in page
    assert "&lt;i&gt;zero&lt;/i&gt;" in page
    assert "<b>toy" not in page
    assert page.count("in epoch 2") > 0
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_a_stream_shows_its_first_rows(registry: Registry) -> None:
    found = preview(recipe({"sources.seen": {"name": "toy-stream"}}), registry, sample=7)[0]
    assert (found.rows, found.looked_at, found.present["image"]) == (None, 7, 7)
    assert [shown.row for shown in found.shown] == [0, 1, 2, 3, 4, 5]
    assert told([found], [])[0].rows[0][1] == "stream"


def test_a_source_that_cannot_be_built_is_told(registry: Registry) -> None:
    with pytest.raises(DataError, match=r"^sources\.gone: no such file: none\.csv"):
        preview(recipe({"sources.gone": {"name": "toy-gone"}}), registry, sample=2)
