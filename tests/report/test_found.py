"""The page of a search: each hit by what it was found by, and no more than a page has room for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusion import Processor
from fusion.report import found
from fusion.report.found import render
from fusion.search import Hit

WAVE = (np.zeros(800, np.float32), 8000)
ROW = {"image": np.zeros((8, 8), np.uint8), "audio": WAVE, "text": "a seven", "label": 7}


class Plain(Processor):
    def decode(self, raw: Any) -> Any:
        return raw


class Written(Plain):
    takes = ("text",)


PROCESSORS = {"image": Plain(), "text": Written(), "audio": Plain()}


def hit(modality: str, row: int = 0, label: str | None = "seven") -> Hit:
    return Hit(0.1234, modality, row, "test", label)


def test_a_hit_is_shown_by_what_it_was_found_by_and_a_fused_one_by_all(tmp_path: Path) -> None:
    hits = [(hit("text", 1234), ROW), (hit("fused", 5, None), ROW), (hit("audio"), {**ROW, "image": None})]
    page = render("run", {"text": "asked"}, hits, PROCESSORS, tmp_path / "page.html").read_text("utf-8")
    assert [page.count(tag) for tag in ("<img", "<audio", "<q>a seven", "<q>asked", "<q>7")] == [
        1,
        2,
        2,
        1,
        0,
    ]
    assert "<b>1. seven</b><br>test, row 1,234; cosine 0.123" in page
    assert "<b>2.</b><br>test, row 5" in page


def test_what_a_page_has_no_room_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound takes 22 + 4 * (44 + 1600) / 3 characters; the third one, and all behind it, has no room."""
    monkeypatch.setattr(found, "ROOM", 2 * (22 + 2192) + len("asked"))
    hits = [(hit("audio", number), ROW) for number in range(4)]
    page = render("run", {"text": "asked"}, hits, PROCESSORS, tmp_path / "page.html").read_text("utf-8")
    assert (page.count("<audio"), page.count("not shown: the page is full")) == (2, 2)
    assert "row 3; cosine" in page


def test_nothing_found_is_said(tmp_path: Path) -> None:
    assert "Nothing." in render("run", {"text": "asked"}, [], PROCESSORS, tmp_path / "page.html").read_text()
