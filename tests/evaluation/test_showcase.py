"""A sample that a source gives as a file is shown as what is in it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fusion.evaluation.kept import Kept
from fusion.evaluation.showcase import _media
from tests.report.test_found import PROCESSORS

AT = {"image": torch.tensor([0]), "text": torch.tensor([0])}
ONE = Kept({}, {}, AT, torch.tensor([-100]), torch.zeros(2, 1, dtype=torch.long))


@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_of_a_photo_is_shown_as_the_photo(tmp_path: Path, kind: type) -> None:
    Image.new("CMYK", (90, 70)).save(tmp_path / "photo.jpg")
    row: Any = {"image": kind(tmp_path / "photo.jpg")}
    shown = _media(ONE, 0, "image", [[row]], PROCESSORS)
    assert shown["kind"] == "image"
    assert str(shown["data"]).startswith("data:image/")


def test_a_text_and_a_file_that_is_no_photo_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes", "utf-8")
    for text in ("a red circle " * 15, str(tmp_path / "notes.txt")):
        assert _media(ONE, 0, "text", [[{"text": text}]], PROCESSORS) == {"kind": "text", "data": text}
