"""What a table may name: files inside its folder, and nothing else on the machine or in the network."""

import io
import json
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fusion_datasets.source import open_rows
from PIL import Image

from fusion import DataError, decode


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an image in it, beside a secret."""
    folder = tmp_path / "data"
    (folder / "media" / "deep").mkdir(parents=True)
    for path in (tmp_path / "secret.png", folder / "media" / "a.png", folder / "media" / "deep" / "b.png"):
        path.write_bytes(png())
    (tmp_path / "data-2").mkdir()
    (tmp_path / "data-2" / "secret.png").write_bytes(png())
    return folder


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(file, "PNG")
    return file.getvalue()


def table(folder: Path, *names: str) -> str:
    (folder / "rows.jsonl").write_text("".join(json.dumps({"file": name, "n": 0}) + "\n" for name in names))
    return str(folder / "rows.jsonl")


REFUSED = [
    ("../secret.png", "is refused: it holds '..'"),
    ("media/../../secret.png", "is refused: it holds '..'"),
    ("media/../media/a.png", "is refused: it holds '..'"),
    ("{above}/secret.png", "is absolute; a table names files relative to"),
    ("{above}/data/media/a.png", "is absolute; a table names files relative to"),
    ("/etc/passwd", "is absolute; a table names files relative to"),
    ("http://localhost/a.png", "is a URL; only files are read: download it first"),
    ("file:///etc/passwd", "is a URL; only files are read"),
    ("zip://a.png::b.zip", "is a URL; only files are read"),
    ("media/link.png", "leads out of"),
    ("linked/secret.png", "leads out of"),
    ("a\0.png", "holds '..' or a null character"),
    (".", "leads out of"),
]


@pytest.mark.parametrize("key", ["image", "audio"])
@pytest.mark.parametrize(("name", "message"), REFUSED)
def test_a_name_that_leads_out_is_an_error_of_its_row(
    folder: Path, key: str, name: str, message: str
) -> None:
    (folder / "media" / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "linked").symlink_to(folder.parent)
    (folder / "media" / "fine.png").symlink_to(folder / "media" / "a.png")
    data = table(folder, name.format(above=folder.parent), "media/a.png", "media/fine.png")
    source = open_rows(data=data, columns={key: "file"})
    with pytest.raises(DataError, match=rf"{key}: the path .*{message}"):
        source[0]
    assert source[1] == source[2] == {key: folder / "media" / "a.png"}


@pytest.mark.parametrize("given", ["media", "{above}/data/media", "$MEDIA"])
def test_a_folder_is_where_names_start_and_end(
    folder: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIA", str(folder / "media"))
    column = {"column": "file", "folder": given.format(above=folder.parent)}
    source = open_rows(data=table(folder, "deep/b.png", "../rows.jsonl"), columns={"depth": column})
    assert source[0] == {"depth": folder / "media" / "deep" / "b.png"}
    with pytest.raises(DataError, match=r"depth: the path '\.\./rows\.jsonl' is refused"):
        source[1]


def test_a_folder_whose_name_only_begins_alike_is_outside(folder: Path) -> None:
    cells = pa.array([{"bytes": None, "path": str(folder.parent / "data-2" / "secret.png")}])
    pq.write_table(pa.table({"image": cells}), folder / "rows.parquet")
    with pytest.raises(DataError, match=r"image: the path .*data-2/secret\.png' leads out of"):
        open_rows(data=str(folder / "rows.parquet"))[0]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{above}/secret.png", "leads out of"),
        ("/etc/passwd", "leads out of"),
        ("../secret.png", "holds '..'"),
        ("https://localhost/a.png", "is a URL"),
    ],
)
def test_media_of_datasets_that_are_paths_stay_inside(folder: Path, path: str, message: str) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    paths = [path.format(above=folder.parent), "media/a.png", str(folder / "media" / "a.png"), None]
    cells = pa.array([{"bytes": None, "path": name} for name in paths], kind)
    pq.write_table(pa.table({"image": cells, "n": range(4)}), folder / "rows.parquet")
    source = open_rows(data=str(folder / "rows.parquet"), columns={"image": "image"})
    with pytest.raises(DataError, match=message):
        source[0]
    assert source[1] == source[2] == {"image": folder / "media" / "a.png"}
    assert source[3] == {}


def test_several_names_of_a_row_are_checked_one_by_one(folder: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"views": ["media/a.png", None, "media/deep/b.png"]},
        {"views": ["media/a.png", "../x"]},
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = open_rows(data=str(folder / "rows.jsonl"), columns={"image": "views"})
    assert source[0]["image"] == (folder / "media" / "a.png", folder / "media" / "deep" / "b.png")
    with pytest.raises(DataError, match=r"image: the path '\.\./x' is refused"):
        source[1]


def test_a_link_in_a_folder_of_images_that_leads_out_is_an_error_of_its_row(folder: Path) -> None:
    (folder / "media" / "z.png").symlink_to(folder.parent / "secret.png")
    source = open_rows(data=str(folder / "media"))
    assert [source[n]["image"].name for n in (0, 1)] == ["a.png", "b.png"]
    with pytest.raises(DataError, match=r"image: the path .*z\.png' leads out of"):
        source[2]


def test_a_folder_that_is_itself_a_link_is_read(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    source = open_rows(data=table(folder.parent / "link", "media/a.png"), columns={"image": "file"})
    assert source[0] == {"image": folder / "media" / "a.png"}


def test_a_word_under_another_key_is_never_opened_as_a_file(folder: Path) -> None:
    secret = str(folder.parent / "secret.png")
    decode.image(secret)  # the user's own code may name any file
    row = open_rows(data=table(folder, secret), columns={"photo": "file"})[0]
    assert row["photo"] == secret
    for read in (decode.image, partial(decode.audio, rate=8000, seconds=1.0), decode.sound):
        with pytest.raises(DataError, match=r"(image|sound) expected, not the text '/.*secret\.png'"):
            read(row["photo"])
    assert decode.text(pickle.loads(pickle.dumps(row["photo"]))) == secret


def test_words_of_ids_and_in_lists_are_never_opened_either(folder: Path) -> None:
    secret = str(folder.parent / "secret.png")
    pq.write_table(pa.table({"several": [[secret, "b"]], "id": [0]}), folder / "rows.parquet")
    columns = {"several": "several", "id": {"column": "id", "names": [secret, "b"]}}
    row = open_rows(data=str(folder / "rows.parquet"), columns=columns)[0]
    for word in (row["several"][0], row["id"]):
        with pytest.raises(DataError, match="not the text"):
            decode.image(word)


def test_a_column_with_a_folder_holds_files(folder: Path) -> None:
    columns = {"photo": {"column": "file", "folder": "media"}}
    assert decode.image(open_rows(data=table(folder, "a.png"), columns=columns)[0]["photo"]).size == (2, 2)
