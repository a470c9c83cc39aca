"""fusion embed: the parquet file holds what Predictor.encode gives, and null where something is absent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from fusion import Registry, Run, decode, load
from fusion.build import build_sources
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


@pytest.mark.parametrize(("name", "rows"), [("test", 64), ("seen", 64), ("heard", 64)])
def test_the_file_holds_what_encode_gives(
    fusion: Fusion, tiny_run: Run, registry: Registry, name: str, rows: int
) -> None:
    found = fusion("embed", tiny_run.folder, "--source", name, "-o", "vectors.parquet", "evaluate.batch=25")
    assert found == (0, f"{rows} rows of {name} in vectors.parquet\n", "")
    columns = pq.read_table("vectors.parquet").to_pydict()
    assert list(columns) == ["source", "row", "label", "image", "text", "audio", "fused"]
    assert columns["source"] == [name] * rows
    assert columns["row"] == list(range(rows))
    recipe = tiny_run.recipe
    offered = {**recipe.sources, **recipe.evaluate.sources}
    [source] = build_sources({name: offered[name]}, registry).values()
    given: list[dict[str, Any]] = [dict(source[row]) for row in range(rows)]
    assert columns["label"] == [row.pop("label") for row in given]
    expected = load(tiny_run, "cpu", registry).encode(given)
    torch.testing.assert_close(torch.tensor(columns["fused"]), expected.fused)
    absent = {"test": set(), "seen": {"audio"}, "heard": {"image"}}[name]
    for modality in ("image", "text", "audio"):
        if modality in absent:
            assert columns[modality] == [None] * rows
        else:
            torch.testing.assert_close(torch.tensor(columns[modality]), expected.vectors[modality])


def test_the_first_evaluation_source_is_the_default(fusion: Fusion, tiny_run: Run) -> None:
    found = fusion("embed", tiny_run.folder, "-o", "vectors.parquet", "evaluate.sources.test.limit=3")
    assert found.out == "3 rows of test in vectors.parquet\n"


def test_a_missing_target_is_null(fusion: Fusion, tiny_run: Run) -> None:
    overrides = ["evaluate.target=other", "evaluate.sources.test.limit=3"]
    assert fusion("embed", tiny_run.folder, "-o", "vectors.parquet", *overrides).code == 0
    assert pq.read_table("vectors.parquet").to_pydict()["other"] == [None, None, None]


def test_unreadable_rows_are_left_out_and_said(
    fusion: Fusion, tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "MAX_CHARACTERS", 0)
    found = fusion("embed", tiny_run.folder, "-o", "vectors.parquet", "evaluate.sources.test.limit=3")
    assert (found.code, found.out) == (0, "0 rows of test in vectors.parquet\n")
    assert found.err.startswith("warning: 3 rows of test cannot be read, such as row 0: text: text of ")


def test_a_folder_gets_parts_and_the_same_command_goes_on(fusion: Fusion, tiny_run: Run) -> None:
    command = ["embed", tiny_run.folder, "-o", "parts", "--part", "2", "evaluate.sources.test.limit=5"]
    found = fusion(*command)
    assert (found.code, found.out) == (0, "5 rows of test in parts\n")
    names = [f"part-{number:05}-of-00003.parquet" for number in range(3)]
    assert found.err == "".join(f"{name} is written\n" for name in names)
    assert sorted(path.name for path in Path("parts").iterdir()) == names
    whole = pq.read_table("parts")
    assert whole["row"].to_pylist() == [0, 1, 2, 3, 4]
    Path("parts", names[1]).unlink()
    found = fusion(*command)
    assert found == (0, "5 rows of test in parts; 2 of 3 parts were there\n", f"{names[1]} is written\n")
    assert pq.read_table("parts").equals(whole)
    found = fusion(*command, "evaluate.tokens=7")
    assert found.code == 1
    assert "was made from something else; what differs: evaluate.tokens" in found.err


def test_two_columns_of_one_name_are_refused(fusion: Fusion, tiny_run: Run) -> None:
    found = fusion("embed", tiny_run.folder, "-o", "vectors.parquet", "evaluate.target=text")
    assert found.code == 1
    assert found.err.startswith("error: two columns would be named 'text'; choose another evaluate.target")


def test_an_earlier_file_stays_until_the_new_one_is_whole(fusion: Fusion, tiny_run: Run) -> None:
    Path("vectors.parquet").write_bytes(b"before")
    assert fusion("embed", tiny_run.folder, "-o", "vectors.parquet", "--source", "nowhere").code == 1
    assert Path("vectors.parquet").read_bytes() == b"before"
    Path("taken.parquet").mkdir()
    assert fusion("embed", tiny_run.folder, "-o", "taken.parquet", "evaluate.sources.test.limit=3").code == 1
    assert sorted(path.name for path in Path().iterdir()) == ["taken.parquet", "vectors.parquet"]
