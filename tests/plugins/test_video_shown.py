"""A film is shown by the frames that are read of it, also where training varied it."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fusion_scratch.image import ImageProcessor
from fusion_video.augmentations import VideoCrop
from fusion_video.encoder import VideoProcessor
from PIL import Image

from fusion import Registry
from fusion.picks import shrink
from fusion.recipe.file import read_recipe
from fusion.report.media import Described, shown
from fusion.training.preview import preview
from tests.plugins.test_video import film

PROCESSOR = VideoProcessor(ImageProcessor(16), 4)
GREY = np.arange(0, 250, 25, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
"""Ten frames, each of them one grey."""


def greys(described: Described) -> list[int]:
    """Return the greys of four frames side by side."""
    assert described["kind"] == "image"
    _, _, content = str(described["data"]).partition(",")
    strip = Image.open(io.BytesIO(base64.b64decode(content)))
    assert strip.size == (4 * 64 + 3 * 2, 64)
    return [strip.convert("L").getpixel((32 + 66 * place, 32)) for place in range(4)]  # type: ignore[misc]


def test_the_frames_that_are_read_are_side_by_side() -> None:
    """Of ten frames the middles of four equal parts."""
    assert greys(shown(PROCESSOR, GREY)) == pytest.approx([25, 75, 150, 200], abs=4)


def test_a_film_that_was_varied_is_shown_as_it_was() -> None:
    varied = VideoCrop(least=0.5)(GREY, np.random.default_rng(0), lambda: None)
    wanted = [25 * place for place in varied.places(10, 4)]
    assert wanted != [25, 75, 150, 200]
    assert greys(shown(PROCESSOR, varied)) == pytest.approx(wanted, abs=4)


def test_a_file_is_shown_by_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(film(8))
    whole = shown(PROCESSOR, (tmp_path / "film.mp4").read_bytes())
    assert shown(PROCESSOR, str(tmp_path / "film.mp4")) == whole
    assert whole["kind"] == "image"


def test_the_page_of_the_data_shows_films(registry: Registry) -> None:
    recipe = shrink(read_recipe("squares", (), registry), registry)
    kinds: list[dict[str, Any]] = [
        {name: {one["kind"] for one in given} for name, given in row.given.items()}
        for part in preview(recipe, registry, 8)
        for row in part.shown
    ]
    assert kinds
    assert {kind for row in kinds for kind in row.get("video", ())} == {"image"}
    assert {kind for row in kinds for kind in row.get("text", ())} == {"text"}
