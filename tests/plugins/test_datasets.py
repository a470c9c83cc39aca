"""The source `datasets`: every format gives the rows that were written, and columns become what was asked."""

import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from fusion_datasets import fusion_sources, shards
from fusion_datasets.source import open_rows
from PIL import Image

from fusion import Choices, DataError, decode
from fusion.testing import check_source

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
RATE = 8000


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def picture(colour: str, format: str = "PNG") -> bytes:
    """An image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (4, 3), COLOURS[colour]).save(file, format)
    return file.getvalue()


def sound(level: float, format: str = "FLAC") -> bytes:
    """A tenth of a second at a constant level."""
    file = io.BytesIO()
    soundfile.write(file, np.full(RATE // 10, level), RATE, format=format)
    return file.getvalue()


def level(raw: Any) -> float:
    """The level of a sound as the processor reads it."""
    return round(float(decode.audio(raw, RATE, 1.0).mean()), 2)


def colour(raw: Any) -> str:
    """The colour of an image as the processor reads it."""
    pixel = decode.image(raw).getpixel((1, 1))
    return min(COLOURS, key=lambda name: sum(abs(a - b) for a, b in zip(COLOURS[name], pixel, strict=True)))


def rows(**options: Any) -> list[dict[str, Any]]:
    source = open_rows(**{key: str(value) if key == "data" else value for key, value in options.items()})
    return [source[index] for index in range(len(source))]


def parquet(path: Path, table: dict[str, Any], features: dict[str, Any] | None = None) -> Path:
    """Write a table as the hub has it: what its columns mean stands in the metadata of the schema."""
    written = pa.table(table)
    if features:
        kept = {"huggingface": json.dumps({"info": {"features": features}})}
        written = written.replace_schema_metadata(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(written, path)
    return path


def media(cells: list[dict[str, Any]]) -> pa.Array:
    """Cells as `datasets` keeps images and sounds."""
    return pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as written:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            written.addfile(member, io.BytesIO(content))
    return path


def test_the_plugin_offers_one_source_that_keeps_the_contract_in_its_tiny_form() -> None:
    (component,) = fusion_sources()
    assert (component.name, component.resolve()) == ("datasets", open_rows)
    source = open_rows(**component.tiny)
    assert len(source) == 8
    assert source[0] == {"text": Choices(["a red square", "one red square"]), "label": 0}
    assert source[6] == {"text": "a large square"}
    assert source[7] == {"label": 1}
    assert len(check_source(source)) == 4


def test_a_row_has_three_modalities_and_lacks_those_whose_cells_are_empty(tmp_path: Path) -> None:
    table = {
        "photo": [picture("red"), None, None],
        "clip": [None, sound(0.25), None],
        "said": ["one", None, None],
        "score": [float("nan"), 0.5, 2.0],
    }
    path = parquet(tmp_path / "all.parquet", table)
    columns = {"image": "photo", "audio": "clip", "text": "said", "value": "score"}
    assert rows(data=path, columns=columns) == [
        {"image": picture("red"), "text": "one"},
        {"audio": sound(0.25), "value": 0.5},
        {"value": 2},
    ]


def test_without_columns_a_row_has_all_of_them_by_their_names(tmp_path: Path) -> None:
    path = parquet(tmp_path / "all.parquet", {"text": ["a"], "label": [3], "speaker": ["theo"]})
    assert rows(data=path) == [{"text": "a", "label": 3, "speaker": "theo"}]


@pytest.mark.parametrize("kind", ["Image", "Audio"])
def test_media_of_the_hub_in_parquet_are_handed_on_as_bytes_and_not_decoded(
    tmp_path: Path, kind: str
) -> None:
    content = picture("blue") if kind == "Image" else sound(0.5)
    cells = media([{"bytes": content, "path": "/not/here.x"}, {"bytes": b"torn", "path": None}])
    path = parquet(tmp_path / "hub.parquet", {"raw": cells}, {"raw": {"_type": kind}})
    assert rows(data=path, columns={"thing": "raw"}) == [{"thing": content}, {"thing": b"torn"}]
    assert "torchcodec" not in sys.modules


def test_csv_has_whole_numbers_and_words_such_as_na_where_other_cells_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label,value\nNA,1,0.5\n"two\nlines",,nan\n,2,\n')
    assert rows(data=path) == [{"text": "NA", "label": 1, "value": 0.5}, {"text": "two\nlines"}, {"label": 2}]
    path.with_suffix(".tsv").write_text("text\tlabel\na, b\t0\n")
    assert rows(data=path.with_suffix(".tsv")) == [{"text": "a, b", "label": 0}]


def test_semicolons_separate_where_the_header_has_no_comma(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text;label\na, b;0\n"c;d";1\n', encoding="utf-8-sig")
    assert rows(data=path) == [{"text": "a, b", "label": 0}, {"text": "c;d", "label": 1}]
    path.write_text("text,left;right\na;b,0\n")
    assert rows(data=path) == [{"text": "a;b", "left;right": 0}]
    path.with_suffix(".tsv").write_text("text;x\tlabel\na;b\t0\n")
    assert rows(data=path.with_suffix(".tsv")) == [{"text;x": "a;b", "label": 0}]


@pytest.mark.parametrize(("encoding", "what"), [("latin-1", "column 'text'"), ("utf-16", "the file")])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_words_that_are_not_utf_8_are_an_error_of_the_table(
    tmp_path: Path, encoding: str, what: str, suffix: str
) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_text("label,text\n0,größer\n".replace(",", "\t" if suffix == ".tsv" else ","), encoding)
    with pytest.raises(DataError, match=rf"rows{suffix}': {what} is not written in UTF-8; save the table"):
        rows(data=path)


def test_a_column_of_empty_cells_is_absent_whatever_is_said_of_it(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,photo,kind\na,,\nb,,\n")
    columns = {
        "text": "text",
        "image": {"column": "photo", "folder": "."},
        "label": {"column": "kind", "classes": ["cat"]},
    }
    assert rows(data=tmp_path / "rows.csv", columns=columns) == [{"text": "a"}, {"text": "b"}]


def test_the_type_of_a_csv_column_is_that_of_all_its_rows_in_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("value,text\n" + '1,"x\nx"\n' * 300_000 + "2.5,y\n")
    (tmp_path / "b.csv").write_text("text,value\nz,7\n")
    source = open_rows(data=str(tmp_path / "*.csv"))
    assert len(source) == 300_002
    assert [source[n]["value"] for n in (0, 300_000, 300_001)] == [1, 2.5, 7]
    assert [source[n]["text"] for n in (0, 299_999, 300_001)] == ["x\nx", "x\nx", "z"]


def test_a_text_may_be_a_number_a_truth_value_or_a_date(tmp_path: Path) -> None:
    for cells, texts in [
        (["7", "", "-8"], ["7", None, "-8"]),
        (["1.5", "2", "nan"], ["1.5", "2", None]),
        (["true", "false"], ["true", "false"]),
        (["2020-01-31", "1999-12-01"], ["2020-01-31", "1999-12-01"]),
    ]:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.csv"
        path.write_text("text,label\n" + "".join(f"{cell},1\n" for cell in cells))
        source = open_rows(data=str(path))
        assert [source[n].get("text") for n in range(len(source))] == texts
        assert isinstance(source[0]["text"], decode.Text)  # which is never opened as a file
        assert source[0]["label"] == 1


def test_the_bytes_of_a_file_that_are_words_make_a_bad_row(tmp_path: Path) -> None:
    cells = [{"bytes": "x", "path": None}, {"bytes": None, "path": None}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"image": cell}) + "\n" for cell in cells))
    source = open_rows(data=str(tmp_path / "rows.jsonl"))
    with pytest.raises(DataError, match="the bytes of a file expected, found str 'x'"):
        source[0]


def test_a_changed_csv_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text\nold\n")
    assert rows(data=path) == [{"text": "old"}]
    path.write_text("text\nnewer\n")
    assert rows(data=path) == [{"text": "newer"}]


def test_lists_of_captions_are_choices_and_one_caption_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    captions: list[Any] = [["a dog", "one dog"], ["a cat", None], [], None]
    path.write_text("".join(json.dumps({"captions": some, "n": 0}) + "\n" for some in captions))
    found = rows(data=path, columns={"text": "captions"})
    assert found == [{"text": ("a dog", "one dog")}, {"text": "a cat"}, {}, {}]
    assert isinstance(found[0]["text"], Choices)


def test_several_images_of_a_row_are_choices(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "views.parquet", {"views": [[picture("red"), picture("blue")], [picture("red")]]}
    )
    first, second = rows(data=path, columns={"image": "views"})
    assert first["image"] == Choices([picture("red"), picture("blue")])
    assert second["image"] == picture("red")


def test_a_list_of_json_objects_and_their_nested_fields_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"meta": {"caption": "a", "size": {"w": 3}}}, {"meta": None}]))
    assert rows(data=path) == [{"meta.caption": "a", "meta.size.w": 3}, {}]
    assert rows(data=path, columns={"text": "meta.caption"}, where={"meta.size.w": 3}) == [{"text": "a"}]


@pytest.mark.parametrize("saved", ["one", "splits", "file"])
def test_arrow_as_saved_by_datasets_is_read_where_it_is(tmp_path: Path, saved: str) -> None:
    whole = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 2]})
    data: Any = whole.select([2, 0])  # a selection, which is saved as such rows
    if saved == "splits":
        data = datasets.DatasetDict(train=data, test=whole)
    data.save_to_disk(tmp_path / "saved")
    path = tmp_path / "saved"
    if saved == "file":
        path = next(path.glob("*.arrow"))
    assert rows(data=path) == [{"text": "c", "label": 2}, {"text": "a", "label": 0}]
    if saved == "splits":
        assert len(rows(data=path, split="test")) == 3


def test_a_folder_of_tables_has_the_splits_that_its_files_name(tmp_path: Path) -> None:
    for name in ("train-0.parquet", "train-1.parquet", "sub/dev.parquet"):
        parquet(tmp_path / name, {"text": [name]})
    assert [row["text"] for row in rows(data=tmp_path)] == ["train-0.parquet", "train-1.parquet"]
    assert rows(data=tmp_path, split="validation") == [{"text": "sub/dev.parquet"}]
    with pytest.raises(DataError, match="unknown split 'vaildation'; did you mean 'validation'"):
        rows(data=tmp_path, split="vaildation")
    parquet(tmp_path / "more.parquet", {"text": ["more"]})
    with pytest.raises(DataError, match=r"some files name a split and others do not: more\.parquet"):
        rows(data=tmp_path)


@pytest.mark.parametrize(("key", "suffix"), [("image", "png"), ("image", "jpg"), ("audio", "wav")])
def test_a_folder_of_class_folders_gives_labels(tmp_path: Path, key: str, suffix: str) -> None:
    formats = {"png": "PNG", "jpg": "JPEG", "wav": "WAV"}
    for label, name in [("dog", "b"), ("cat", "a"), ("cat", "c")]:
        (tmp_path / label).mkdir(exist_ok=True)
        content = picture("green", formats[suffix]) if key == "image" else sound(0.25, "WAV")
        (tmp_path / label / f"{name}.{suffix}").write_bytes(content)
    (tmp_path / "README.md").write_text("not a row")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / f"x.{suffix}").write_bytes(b"")
    found = rows(data=tmp_path)
    names = [(row[key].relative_to(tmp_path).as_posix(), row["label"]) for row in found]
    assert names == [(f"cat/a.{suffix}", 0), (f"cat/c.{suffix}", 0), (f"dog/b.{suffix}", 1)]
    assert (colour(found[0][key]) == "green") if key == "image" else (level(found[0][key]) == 0.25)
    words = rows(data=tmp_path, columns={"text": {"column": "label", "names": True}})
    assert [row["text"] for row in words] == ["cat", "cat", "dog"]


def test_sounds_of_every_kind_are_read_without_torchcodec(tmp_path: Path) -> None:
    for format in ("WAV", "FLAC", "OGG"):
        (tmp_path / f"{format.lower()}.{format.lower()}").write_bytes(sound(0.25, format))
    found = rows(data=tmp_path)
    assert [row["audio"].name for row in found] == ["flac.flac", "ogg.ogg", "wav.wav"]
    assert [level(row["audio"]) for row in found] == [0.25] * 3
    assert all(row.keys() == {"audio"} for row in found)  # files beside each other have no class
    assert "torchcodec" not in sys.modules


def test_a_class_has_the_same_id_in_every_split_of_a_folder(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/2.png", "val/dog/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture("red"))
    assert [row["label"] for row in rows(data=tmp_path)] == [0, 1]
    assert [row["label"] for row in rows(data=tmp_path, split="validation")] == [1]


def test_a_class_or_a_file_may_be_called_like_a_split(tmp_path: Path) -> None:
    for name in ("cat/test.png", "dog/my train.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(picture("red"))
    assert [row["label"] for row in rows(data=tmp_path)] == [0, 1]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_table_beside_the_files_names_them(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "files").mkdir()
    for name in ("red", "blue"):
        (tmp_path / "files" / f"{name}.png").write_bytes(picture(name))
    names = ["files/blue.png", "files/red.png"]
    table = tmp_path / f"metadata.{suffix}"
    if suffix == "parquet":
        parquet(table, {"file_name": names, "text": ["sea", "rose"]})
    elif suffix == "csv":
        table.write_text("file_name,text\nfiles/blue.png,sea\nfiles/red.png,rose\n")
    else:
        pairs = zip(names, ["sea", "rose"], strict=True)
        table.write_text("".join(json.dumps({"file_name": f, "text": t}) + "\n" for f, t in pairs))
    assert [(colour(row["image"]), row["text"]) for row in rows(data=tmp_path)] == [
        ("blue", "sea"),
        ("red", "rose"),
    ]


def test_each_split_of_a_folder_may_have_its_own_metadata(tmp_path: Path) -> None:
    for split, name in [("train", "red"), ("test", "blue")]:
        (tmp_path / split).mkdir()
        (tmp_path / split / "1.png").write_bytes(picture(name))
        (tmp_path / split / "metadata.csv").write_text(f"file_name,text\n1.png,{name}\n")
    for split, name in [("train", "red"), ("test", "blue")]:
        (row,) = rows(data=tmp_path, split=split)
        assert (colour(row["image"]), row["text"]) == (name, name)


def test_metadata_without_file_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture("red"))
    (tmp_path / "metadata.csv").write_text("file,text\na.png,rose\n")
    with pytest.raises(DataError, match=r"'metadata\.csv' has no column 'file_name', which names the files"):
        rows(data=tmp_path)


def test_tar_shards_give_a_row_for_the_files_of_one_name(tmp_path: Path) -> None:
    tar(
        tmp_path / "shard-0.tar",
        {
            "a/1.png": picture("red"),
            "a/1.txt": b"rose",
            "a/1.cls": b"1",
            "a/2.flac": sound(0.5),
            "a/2.json": b'{"text": "half", "loud": true}',
            "README": b"no column",
        },
    )
    tar(tmp_path / "shard-1.tar", {"b.flac": sound(0.25), "b.PNG": picture("blue"), "b.pth": b"raw"})
    found = rows(data=tmp_path, columns={"image": "png", "audio": "flac", "text": "txt", "label": "cls"})
    assert found == [
        {"image": picture("red"), "text": "rose", "label": 1},
        {"audio": sound(0.5)},
        {"audio": sound(0.25), "image": picture("blue")},
    ]
    assert rows(data=tmp_path, columns={"text": "json.text", "raw": "pth"}) == [
        {},
        {"text": "half"},
        {"raw": b"raw"},
    ]
    assert "torchcodec" not in sys.modules


def test_folders_and_links_in_a_shard_are_no_samples(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as written:
        for name, kind in [
            ("some.d", tarfile.DIRTYPE),
            ("b.txt", tarfile.SYMTYPE),
            ("c.txt", tarfile.LNKTYPE),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            written.addfile(member)
        member = tarfile.TarInfo("some.d/a.txt")
        member.size = 2
        written.addfile(member, io.BytesIO(b"hi"))
    assert rows(data=tmp_path / "a.tar") == [{"txt": "hi"}]


def test_a_text_of_a_shard_beyond_all_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "MAX_TEXT", 10)
    assert rows(data=tar(tmp_path / "a.tar", {"a.txt": bytes(10), "a.png": bytes(11)}), columns={"x": "txt"})
    with pytest.raises(DataError, match=r"b\.json has 11 bytes; at most 10 are read of a text"):
        rows(data=tar(tmp_path / "b.tar", {"b.json": b'{"t":   "a"}'[:11]}))


def test_the_media_of_shards_stay_in_the_shards(tmp_path: Path) -> None:
    path = tar(tmp_path / "big.tar", {f"{n}.bin": bytes([n]) * 100_000 for n in range(20)})
    source = open_rows(data=str(path))
    assert source[3]["bin"] == bytes([3]) * 100_000
    cached = sum(file.stat().st_size for file in Path(datasets.config.HF_DATASETS_CACHE).rglob("*.arrow"))
    assert 0 < cached < 10_000


def test_arrays_are_rows_along_their_first_axis(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    arrays = {
        "x_train": draw.integers(0, 256, (5, 4, 3), dtype=np.uint8),
        "wave": draw.standard_normal((5, 80)).astype(np.float32),
        "y_train": np.arange(5, dtype=np.uint8),
        "word": np.array(["a", "b", "c", "d", "e"]),
        "x_test": np.zeros((2, 4, 3), np.uint8),
    }
    np.savez_compressed(tmp_path / "all.npz", **arrays)
    columns = {
        "image": "x_train",
        "audio": {"column": "wave", "rate": RATE},
        "text": "word",
        "label": "y_train",
    }
    source = open_rows(data=str(tmp_path / "all.npz"), columns=columns)
    assert len(source) == 5
    row = source[3]
    assert row["image"].dtype == np.uint8
    assert np.array_equal(row["image"], arrays["x_train"][3])
    assert row["audio"][1] == RATE
    assert np.array_equal(row["audio"][0], arrays["wave"][3])
    assert (row["text"], row["label"]) == ("d", 3)
    row["image"][:] = 9  # a row may be changed, and no other one with it
    assert np.array_equal(source[3]["image"], arrays["x_train"][3])
    assert len(rows(data=tmp_path / "all.npz", columns={"image": "x_test"})) == 2
    with pytest.raises(
        DataError, match=r"differ in length \(x_train 5, .* x_test 2\); choose some with columns"
    ):
        rows(data=tmp_path / "all.npz")


def test_lists_of_numbers_become_arrays_of_their_type_and_with_a_rate_sound(tmp_path: Path) -> None:
    nested = pa.array([[[1, 2], [3, 4], [5, 6]], [[7, 8]]], pa.list_(pa.list_(pa.float32())))
    wave = pa.array([[100, -100], [5]], pa.list_(pa.int16()))
    path = parquet(tmp_path / "sensor.parquet", {"motion": nested, "wave": wave})
    first, second = rows(data=path, columns={"motion": "motion", "audio": {"column": "wave", "rate": 16000}})
    assert first["motion"].dtype == np.float32
    assert first["motion"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert second["motion"].tolist() == [[7, 8]]
    samples, rate = first["audio"]
    assert (samples.dtype, samples.tolist(), rate) == (np.int16, [100, -100], 16000)


def test_a_ragged_list_is_an_error_of_its_row(tmp_path: Path) -> None:
    path = parquet(tmp_path / "sensor.parquet", {"motion": [[[1, 2], [3]], [[1], [2]], [[1], None]]})
    source = open_rows(data=str(path))
    assert source[1]["motion"].tolist() == [[1], [2]]
    for row in (0, 2):
        with pytest.raises(DataError, match="motion: the lists in the list differ in length"):
            source[row]


def test_arrays_of_datasets_are_arrays(tmp_path: Path) -> None:
    features = datasets.Features({"motion": datasets.Array2D((2, 3), "float32")})
    data = datasets.Dataset.from_dict({"motion": [np.arange(6).reshape(2, 3)]}, features)
    data.save_to_disk(tmp_path / "saved")
    (row,) = rows(data=tmp_path / "saved")
    assert (row["motion"].dtype, row["motion"].tolist()) == (np.float32, [[0, 1, 2], [3, 4, 5]])


def test_ids_of_one_class_are_equal_in_sources_that_number_them_differently(tmp_path: Path) -> None:
    label = {"_type": "ClassLabel", "names": ["dog", "cat"]}
    first = parquet(tmp_path / "a.parquet", {"label": [0, 1, -1]}, {"label": label})
    second = parquet(tmp_path / "b.parquet", {"animal": ["cat", "dog", None]})
    third = parquet(tmp_path / "c.parquet", {"id": [0.0, 1.0, float("nan")]})  # ids with a gap, of pandas
    classes = ["cat", "dog", "cow"]
    own = {"column": "id", "names": ["cow", "cat"], "classes": classes}
    assert rows(data=first, columns={"label": {"column": "label", "classes": classes}}) == [
        {"label": 1},
        {"label": 0},
        {},
    ]
    assert rows(data=second, columns={"label": {"column": "animal", "classes": classes}}) == [
        {"label": 0},
        {"label": 1},
        {},
    ]
    assert rows(data=third, columns={"label": own}) == [{"label": 2}, {"label": 0}, {}]
    assert rows(data=first) == [{"label": 0}, {"label": 1}, {}]


def test_whole_numbers_that_are_written_as_floats_can_be_ids(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"label": [1.0, None, 2.5, 1e300]})
    found = rows(data=path)
    assert found == [{"label": 1}, {}, {"label": 2.5}, {"label": 1e300}]
    assert [type(row["label"]) for row in found if row] == [int, float, float]


def test_names_turn_ids_into_words(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"digit": [1, 0, 2, -2, 0.5]})
    source = open_rows(data=str(path), columns={"text": {"column": "digit", "names": ["zero", "one"]}})
    assert [source[0], source[1]] == [{"text": "one"}, {"text": "zero"}]
    for row, shown in [(2, "2.0"), (3, "-2.0"), (4, "0.5")]:
        with pytest.raises(DataError, match=f"text: the id {shown} has no name; there are names for 0 to 1"):
            source[row]


def test_names_that_are_given_stand_for_those_of_the_data_set(tmp_path: Path) -> None:
    label = {"_type": "ClassLabel", "names": ["n02", "n01"]}
    path = parquet(tmp_path / "a.parquet", {"label": [0, 1]}, {"label": label})
    given = {"column": "label", "names": ["dog", "cat"]}
    assert rows(data=path, columns={"text": given}) == [{"text": "dog"}, {"text": "cat"}]
    own = given | {"names": True}
    assert rows(data=path, columns={"text": own}) == [{"text": "n02"}, {"text": "n01"}]


def test_nested_ids_have_their_names(tmp_path: Path) -> None:
    label = {"_type": "ClassLabel", "names": ["dog", "cat"]}
    cells = [{"label": 1, "text": "a"}, {"label": -1, "text": "b"}]
    path = parquet(
        tmp_path / "a.parquet",
        {"meta": cells},
        {"meta": {"label": label, "text": {"_type": "Value", "dtype": "string"}}},
    )
    found = rows(data=path, columns={"text": {"column": "meta.label", "names": True}, "label": "meta.label"})
    assert found == [{"text": "cat", "label": 1}, {}]
    assert rows(data=path, columns={"text": "meta.text"}, where={"meta.label": "cat"}) == [{"text": "a"}]


def test_several_ids_become_choices_of_words(tmp_path: Path) -> None:
    feature = {"_type": "List", "feature": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    cells = pa.array([[0, 1], [-1, 1], [None], [-1]], pa.list_(pa.int64()))
    path = parquet(tmp_path / "a.parquet", {"animals": cells}, {"animals": feature})
    named = rows(data=path, columns={"text": {"column": "animals", "names": True}})
    assert named == [{"text": ("cat", "dog")}, {"text": "dog"}, {}, {}]
    hot = rows(data=path, columns={"label": {"column": "animals", "classes": ["dog", "cow", "cat"]}})
    assert [row["label"].tolist() for row in hot] == [[1, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_words_that_are_kept_as_numbers_in_a_dictionary_are_words(tmp_path: Path) -> None:
    table = pa.table({"file": pa.array(["a.png", "../b.png", "a.png"]).dictionary_encode()})
    with pa.ipc.new_stream(tmp_path / "rows.arrow", table.schema) as writer:
        writer.write_table(table)
    named = {"column": "file", "classes": ["../b.png", "a.png"]}
    source = open_rows(data=str(tmp_path / "rows.arrow"), columns={"image": "file", "label": named})
    assert source[2] == {"image": tmp_path / "a.png", "label": 1}
    with pytest.raises(DataError, match=r"image: the path '\.\./b\.png' is refused"):
        source[1]


def test_a_list_of_classes_becomes_a_vector_of_zeros_and_ones(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"tags": [["sun", "sea"], ["sea"], [], None]})
    found = rows(data=path, columns={"label": {"column": "tags", "classes": ["sea", "wind", "sun"]}})
    assert [row["label"].tolist() for row in found[:3]] == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert found[0]["label"].dtype == np.float32
    assert found[3] == {}


def test_a_word_that_is_no_class_is_an_error_of_its_row(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"animal": ["cat", "dgo"]})
    source = open_rows(data=str(path), columns={"label": {"column": "animal", "classes": ["cat", "dog"]}})
    assert source[0] == {"label": 0}
    with pytest.raises(DataError, match=r"label: unknown class 'dgo'; did you mean 'dog'\? known: cat, dog"):
        source[1]


def test_variables_and_the_home_folder_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet(tmp_path / "a.parquet", {"text": ["a"]})
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for data in ("$SOME_DATA/a.parquet", "${SOME_DATA}/*.parquet", "~/a.parquet"):
        assert rows(data=data) == [{"text": "a"}]
    monkeypatch.delenv("SOME_DATA")
    with pytest.raises(DataError, match=r"variable SOME_DATA, which is not set; .* export SOME_DATA=/path"):
        rows(data="$SOME_DATA/a.parquet")


def test_a_data_set_of_the_hub_that_was_downloaded_is_read_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = "0123456789" * 4
    kept = tmp_path / "datasets--me--tiny"
    for name, text in [("train", "a"), ("test", "b")]:
        parquet(kept / "snapshots" / revision / "data" / f"{name}-00000-of-00001.parquet", {"text": [text]})
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(revision)
    offline(monkeypatch, tmp_path)
    assert rows(data="me/tiny") == [{"text": "a"}]
    assert rows(data="me/tiny", revision=revision, split="test") == [{"text": "b"}]
    parquet(kept / "snapshots" / ("f" * 40) / "train.parquet", {"text": ["older"]})
    assert rows(data="me/tiny", revision="f" * 40) == [{"text": "older"}]
    assert rows(data="me/tiny") == [{"text": "a"}]
    with pytest.raises(DataError, match="'me/tiny': unknown split 'dev'; known: train, test"):
        rows(data="me/tiny", split="dev")
    with pytest.raises(DataError, match="BuilderConfig 'large' not found"):
        rows(data="me/tiny", config="large")


def test_images_of_the_hub_that_are_links_into_its_cache_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "datasets--me--photos"
    (kept / "blobs").mkdir(parents=True)
    for label, content in [("cat", "red"), ("dog", "blue")]:
        (kept / "blobs" / label).write_bytes(picture(content))
        folder = kept / "snapshots" / ("0123456789" * 4) / "train" / label
        folder.mkdir(parents=True)
        (folder / "1.png").symlink_to(kept / "blobs" / label)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0123456789" * 4)
    offline(monkeypatch, tmp_path)
    columns = {"image": "image", "label": {"column": "label", "classes": ["dog", "cat"]}}
    found = rows(data="me/photos", columns=columns)
    assert [(colour(row["image"]), row["label"]) for row in found] == [("red", 1), ("blue", 0)]


def test_a_clone_of_a_data_set_of_the_hub_is_read_as_the_hub_would(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "train" / label).mkdir(parents=True)
        (tmp_path / "train" / label / "1.png").write_bytes(picture("red"))
    found = rows(data=tmp_path, format="hub")
    assert [(row["image"].parent.name, row["label"]) for row in found] == [("cat", 0), ("dog", 1)]


def test_a_shard_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {f"{n}.bin": bytes(512) for n in range(50)})
    whole = path.read_bytes()
    for size in (20 * 1024, 20 * 1024 + 512, 20 * 1024 + 700):  # at a file, after its header, inside it
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"a\.tar' cannot be read after sample '\d+'"):
            rows(data=path)
    path.write_bytes(whole)
    source = open_rows(data=str(path))
    path.write_bytes(whole[:1024])
    with pytest.raises(DataError, match=r"the shard .* ends before the file at 25,088; it has changed"):
        source[24]


def test_a_data_set_of_the_hub_that_is_not_here_says_what_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(monkeypatch, tmp_path)
    fetch = "no such file or folder, and no hub could be reached.* hf download --repo-type dataset me/other"
    with pytest.raises(DataError, match=fetch + " --revision v1"):
        rows(data="me/other", revision="v1")


def offline(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let the hub be out of reach, and its cache be here."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


TABLE = {"text": ["a", "b"], "animal": ["cat", "dog"], "photo": [b"x", b"y"], "take": [1, 2]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"columns": {"text": "txet"}},
            "columns.text: unknown column 'txet'; did you mean 'text'. known: text, ",
        ),
        ({"columns": {"text": {"colum": "text"}}}, "columns.text is .*; give a column, or a mapping with"),
        (
            {"columns": {"text": {"column": "text", "nams": ["a"]}}},
            "unknown key 'nams'; did you mean 'names'",
        ),
        (
            {"columns": {"text": {"column": "take", "names": ["a", "a"]}}},
            "names is .* a list of different words",
        ),
        ({"columns": {"label": {"column": "animal", "classes": "cat"}}}, "classes is 'cat'; give a list of"),
        ({"columns": {"audio": {"column": "photo", "rate": 0}}}, "rate is 0; give a whole number of Hz"),
        ({"columns": {"image": {"column": "animal", "folder": 3}}}, "folder is 3; give a folder"),
        ({"columns": {}}, "columns is empty; name at least one"),
        (
            {"columns": {"audio": {"column": "photo", "rate": 8000}}},
            "columns.audio: column 'photo' holds bytes; rate is for lists of numbers",
        ),
        (
            {"columns": {"image": {"column": "photo", "folder": "."}}},
            "columns.image: column 'photo' holds bytes; folder is for the names of files",
        ),
        (
            {"columns": {"image": {"column": "animal", "folder": "nowhere"}}},
            "columns.image: column 'animal' holds words; there is no folder .*nowhere",
        ),
        (
            {"columns": {"audio": {"column": "take", "rate": 8000, "folder": "."}}},
            "columns.audio has column, rate, folder; names and classes, rate, or folder are given",
        ),
        (
            {"columns": {"label": {"column": "photo", "classes": ["cat"]}}},
            "column 'photo' holds bytes; names and classes are for ids and for words",
        ),
        (
            {"columns": {"label": {"column": "take", "classes": ["cat"]}}},
            "column 'take' holds numbers without names of their own; give names",
        ),
        (
            {"columns": {"text": {"column": "animal", "names": ["cat"]}}},
            "column 'animal' holds words; names are for ids, so leave them out",
        ),
        (
            {"columns": {"label": "animal"}},
            r"holds words \(cat, dog\); give label: \{column: animal, classes: \[\.\.\.\]\} in columns, b",
        ),
        ({"limit": 0}, "limit is 0; allowed: 1 or more"),
        ({"format": "xml"}, "format is 'xml'; allowed: auto, parquet, csv"),
        ({"split": "dev"}, "unknown split 'dev'; known: train"),
        ({"revision": "main"}, "config and revision are for a data set of the hub, and .* is parquet"),
        ({"format": "json"}, r"rows\.parquet' cannot be read as json: "),
    ],
)
def test_an_option_that_does_not_fit_says_what_does(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    path = parquet(tmp_path / "rows.parquet", TABLE)
    with pytest.raises(DataError, match=message):
        rows(data=path, **options)


def test_data_that_are_not_there_or_not_clear_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder '.*none\.parquet'; give a path, a glob"):
        rows(data=tmp_path / "none.parquet")
    with pytest.raises(DataError, match="no file matches"):
        rows(data=tmp_path / "*.parquet")
    monkeypatch.chdir(tmp_path.parent)  # no hub is asked for what is misspelt in a folder that is here
    with pytest.raises(DataError, match=f"^there is no file or folder '{tmp_path.name}/fotos'; give a path"):
        rows(data=f"{tmp_path.name}/fotos")
    with pytest.raises(
        DataError, match=r"holds no file that is read \(unpack what is zipped, .*; suffixes that are: \.par"
    ):
        rows(data=tmp_path)
    with pytest.raises(DataError, match=r"holds no file of the format csv \(\.csv, \.tsv\)"):
        rows(data=tmp_path, format="csv")
    (tmp_path / "a.csv").write_text("text\na\n")
    (tmp_path / "b.png").write_bytes(picture("red"))
    with pytest.raises(DataError, match="several formats; choose one with format: csv or images"):
        rows(data=tmp_path)
    assert rows(data=tmp_path, format="csv") == [{"text": "a"}]


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl", "a.npz", "a.tar", "a.arrow"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'{"text": "a"\nb,c,d\n"' + bytes(600))
    with pytest.raises(DataError, match=rf"{name}"):
        rows(data=tmp_path / name)


def test_a_file_without_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(DataError, match="there is no row"):
        rows(data=tmp_path / "a.csv")
    with pytest.raises(DataError, match="there is no row"):
        rows(data=tmp_path / "a.csv", columns={"label": {"column": "label", "classes": ["cat", "dog"]}})
    with pytest.raises(DataError, match="no sample in"):
        rows(data=tar(tmp_path / "a.tar", {"README": b""}))
    with pytest.raises(DataError, match="cannot be read as parquet"):
        rows(data=parquet(tmp_path / "a.parquet", {"text": pa.array([], pa.string())}))


def test_arrays_that_are_no_columns_are_refused(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz", one=np.array(3), imaginary=np.array([1j]), day=np.array(["2020-01-01"], "M8[D]")
    )
    for name, message in [
        ("one", "array 'one' of .* is a single value; choose others"),
        ("imaginary", "array 'imaginary' is of complex128 .*; numbers and words are read"),
        ("day", "array 'day' is of datetime64"),
    ]:
        with pytest.raises(DataError, match=message):
            rows(data=tmp_path / "a.npz", columns={"value": name})
    np.savez(tmp_path / "b.npz", one=np.arange(3))
    with pytest.raises(DataError, match=r"2 \.npz files; give one of them"):
        rows(data=tmp_path / "*.npz")


def test_arrays_of_objects_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    class Planted:
        def __reduce__(self) -> tuple[Any, tuple[str, ...]]:
            return os.mkdir, (str(tmp_path / "planted"),)

    np.savez(tmp_path / "a.npz", x=np.array([Planted()], object), y=np.arange(1))
    with pytest.raises(DataError, match=r"array 'x' of .* cannot be read: Object arrays cannot be loaded"):
        rows(data=tmp_path / "a.npz")
    assert not (tmp_path / "planted").exists()
    with pytest.raises(DataError, match="unknown array 'z'; known: x, y"):
        rows(data=tmp_path / "a.npz", columns={"value": "z"})
    assert rows(data=tmp_path / "a.npz", columns={"value": "y"}) == [{"value": 0}]


@pytest.mark.parametrize("index", [-1, 2, 10**9])
def test_a_row_out_of_range_is_an_index_error(tmp_path: Path, index: int) -> None:
    source = open_rows(data=str(parquet(tmp_path / "rows.parquet", TABLE)))
    with pytest.raises(IndexError, match=f"datasets: row {index} of 2"):
        source[index]
