"""Embeddings in every precision: what the files hold, what they say of it, and what a gallery reads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator

from fusion import DataError, Gallery, Model, Recipe, Registry
from fusion.data.windows import Span
from fusion.evaluation.embed import Embedded, embed
from fusion.evaluation.ranges import sample
from fusion.quantization.vectors import Ranges, decode, encode

MakeRecipe, MakeModel = Callable[..., Recipe], Callable[[Recipe], Model]
PRECISIONS = ["float32", "float16", "int8", "binary"]


@pytest.fixture(scope="module")
def files(
    toys: Registry, toy_recipe: MakeRecipe, toy_model: MakeModel, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Write the toys, three modalities that are absent in some rows, in a precision."""
    folder = tmp_path_factory.mktemp("embedded")
    recipe = toy_recipe({"test": [0, 1, 2, 3, 10, 12, 4, 5]}, batch=3)
    model = toy_model(recipe)

    def write(precision: str, name: str = "whole.parquet", each: int = 3) -> Path:
        place = folder / precision / name
        place.parent.mkdir(exist_ok=True)
        accelerator = Accelerator(cpu=True)
        options: dict[str, Any] = {"weights": "", "each": each, "precision": precision}
        done: Embedded = embed(model, recipe, "test", place, toys, accelerator, **options)
        assert done.rows == 7
        return place

    return write


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("column", ["sight", "sound", "text", "fused"])
def test_a_file_holds_the_codes_of_what_is_there(
    files: Callable[..., Path], precision: str, column: str
) -> None:
    floats = pq.read_table(files("float32")).to_pydict()[column]
    there = [row for row, vector in enumerate(floats) if vector is not None]
    assert 0 < len(there) < 7
    vectors = torch.tensor([floats[row] for row in there])
    ranges = Ranges(vectors.amin(0), vectors.amax(0)) if precision == "int8" else None
    read = Gallery.read(files(precision), column)
    assert (read.precision, read.width) == (precision, 8)
    assert torch.equal(read.codes, encode(vectors, precision, ranges))
    numbers = pq.read_table(files(precision)).to_pydict()["row"]
    assert read.rows.tolist() == [numbers[row] for row in there]
    if ranges is not None:
        assert read.ranges is not None
        torch.testing.assert_close(read.ranges, ranges)
        torch.testing.assert_close(decode(read.codes, "int8", 8, ranges), vectors, rtol=0, atol=0.01)


def test_the_metadata_say_what_the_numbers_are(files: Callable[..., Path]) -> None:
    said = json.loads(pq.read_metadata(files("int8")).metadata[b"fusion"])
    assert (said["made"]["precision"], said["made"]["width"]) == ("int8", 8)
    assert said["ranges"].keys() == {"sight", "sound", "text", "fused"}
    assert "ranges" not in json.loads(pq.read_metadata(files("binary")).metadata[b"fusion"])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_parts_are_the_whole_cut_up(files: Callable[..., Path], precision: str) -> None:
    whole, parts = (Gallery.read(files(precision, name), "text") for name in ("whole.parquet", "parts"))
    assert torch.equal(parts.codes, whole.codes)
    assert torch.equal(parts.rows, whole.rows)


def test_parts_of_another_precision_are_refused(files: Callable[..., Path]) -> None:
    folder = files("float16", "parts")
    folder.rename(folder.parent.parent / "int8" / "other")
    with pytest.raises(DataError, match="was made from something else; what differs: precision"):
        files("int8", "other")


def test_a_column_that_is_not_there_is_named(files: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="unknown column 'sigth'; did you mean 'sight'"):
        Gallery.read(files("int8"), "sigth")


def test_the_ranges_are_those_of_rows_from_all_over() -> None:
    assert sample(100) == [Span(0, 0, 64), Span(0, 64, 100)]
    spans = sample(1_000_000)
    assert (len(spans), spans[0], spans[-1]) == (16, Span(0, 0, 64), Span(0, 999_936, 1_000_000))
    assert sum(span.stop - span.start for span in spans) == 1024
    assert len(sample(1025)) == 16
