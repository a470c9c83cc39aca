"""Tables, arrays and shards that lie about their size, sink, or lead out of their folder."""

import io
import json
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fusion_datasets.source import open_rows

from fusion import DataError


def npy(shape: tuple[int, ...], kind: str = "<f4", data: bytes = b"") -> bytes:
    file = io.BytesIO()
    about = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue() + data


def npz(path: Path, content: bytes, how: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("image.npy", content)
    return str(path)


@pytest.mark.parametrize(
    "content",
    [
        npy((2**40,)),
        npy((2**62, 2**62)),
        npy((-1,)),
        npy((2**40,), "<U0"),
        npy((10,), data=bytes(4)),
        b"\x93NUMPY\x01\0v\0" + b"__import__('os').system('true')".ljust(117) + b"\n",
        b"\x93NUMPY\x02\0" + struct.pack("<I", 9000) + b"(" * 4500 + b")" * 4499 + b"\n",
        b"\x93NUMPY\x09\0",
    ],
)
def test_an_array_that_is_not_what_its_header_says_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"array 'image' of .* cannot be read"):
        open_rows(data=npz(tmp_path / "a.npz", content))


def test_an_array_that_grows_out_of_nothing_is_refused(tmp_path: Path) -> None:
    """300 MB of zeros in 300 KB."""
    path = tmp_path / "a.npz"
    size = 300 * 2**20
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("image.npy", "w") as member:
        member.write(npy((size,), "|u1"))
        for _ in range(64):
            member.write(bytes(size // 64))
    assert path.stat().st_size < size / 500
    with pytest.raises(DataError, match=r"bytes would become 314,57"):
        open_rows(data=str(path))


@pytest.mark.parametrize("opening", ["[", '{"a":', "[\n", '["]",\n', '["\\"]",\n'])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_json_that_would_end_the_process_is_refused(opening: str, name: str, tmp_path: Path) -> None:
    """Arrow's stack ends, with a signal, at some ten thousands; brackets in texts do not hide any."""
    (tmp_path / name).write_text('{"text": ' + opening * 100_000)
    with pytest.raises(DataError, match=r"is nested more than 200 deep"):
        open_rows(data=str(tmp_path / name))


def test_brackets_in_texts_are_no_nesting(tmp_path: Path) -> None:
    row = {"text": "[{" * 5000 + '"\\', "list": [[1]] * 300}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
    (tmp_path / "b.json").write_text(json.dumps([row, row], indent=1))
    for name in ("a.jsonl", "b.json"):
        rows = open_rows(data=str(tmp_path / name), columns={"text": "text"})
        assert [rows[0], rows[1]] == [{"text": row["text"]}] * 2


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "/etc/passwd", "a\0b", "http://a/a.png", "link.png", "folder/link.png"],
)
def test_a_cell_names_a_file_of_the_folder(path: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.png").symlink_to("/etc/passwd")
    (tmp_path / "folder" / "link.png").symlink_to("../../")
    media = pa.array([{"bytes": None, "path": path}])
    pq.write_table(pa.table({"image": media}), tmp_path / "media.parquet")
    pq.write_table(pa.table({"image": [path]}), tmp_path / "words.parquet")
    for name in ("media.parquet", "words.parquet"):
        with pytest.raises(DataError, match=r"the path .* (leads out of|is absolute|is refused|is a URL)"):
            open_rows(data=str(tmp_path / name))[0]


@pytest.mark.parametrize(
    "metadata",
    [
        {"huggingface": "[" * 100_000},
        {"huggingface": "{"},
        {"huggingface": '{"info": {"features": {"text": {"_type": "os.system"}}}}'},
        {"ARROW:schema": "AAAA"},
    ],
)
def test_a_schema_that_is_none_is_refused(metadata: dict[str, str], tmp_path: Path) -> None:
    table = pa.table({"text": ["a"]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        open_rows(data=str(tmp_path / "a.parquet"))


def test_types_and_columns_without_end_are_refused(tmp_path: Path) -> None:
    kind = pa.int64()
    for _ in range(200):
        kind = pa.struct([("a", kind)])
    pq.write_table(pa.table({"text": pa.array([None], kind)}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="schema too deeply nested"):
        open_rows(data=str(tmp_path / "a.parquet"))
    names = ",".join(f"c{number}" for number in range(20_000))
    (tmp_path / "a.csv").write_text(f"{names}\n{names}\n")
    with pytest.raises(DataError, match="has 20,000 columns; at most 10,000 are read"):
        open_rows(data=str(tmp_path / "a.csv"))


def test_arrow_whose_offsets_lead_elsewhere_is_refused(tmp_path: Path) -> None:
    """Reading such a cell would read other memory, or end the process."""
    file = tmp_path / "a.arrow"
    table = pa.table({"text": ["first", "second"]})
    with pa.OSFile(str(file), "wb") as opened, pa.ipc.new_stream(opened, table.schema) as stream:
        stream.write_table(table)
    offsets = np.array([0, 5, 11], np.int32).tobytes()
    file.write_bytes(file.read_bytes().replace(offsets, np.array([0, 2**30, 11], np.int32).tobytes()))
    for _ in range(2):  # it is found out each time
        with pytest.raises(DataError, match=r"cannot be read as arrow: Column 0: In chunk 0: Invalid"):
            open_rows(data=str(file))


def test_words_of_arrow_that_are_not_unicode_are_refused(tmp_path: Path) -> None:
    """Found by benchmarks/fuzz.py: the cell raised UnicodeDecodeError, and ended the training."""
    offsets = pa.py_buffer(np.array([0, 2], np.int32).tobytes())
    words = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"a\xff")])
    table = pa.table({"text": words})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="Invalid UTF8"):
        open_rows(data=str(tmp_path / "a.arrow"))
    with pytest.raises(DataError, match="text: the cell cannot be read: 'utf-8' codec"):
        open_rows(data=str(tmp_path / "a.parquet"))[0]


def test_a_saved_data_set_names_files_of_its_folder(tmp_path: Path) -> None:
    state = {"_data_files": [{"filename": "../../other.arrow"}], "_fingerprint": "x", "_split": None}
    (tmp_path / "state.json").write_text(json.dumps(state))
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(DataError, match=r"the path '\.\./\.\./other\.arrow' is refused"):
        open_rows(data=str(tmp_path))


def member(path: Path, name: str, content: bytes, size: bytes | None = None) -> str:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    header = bytearray(file.getvalue())
    if size is not None:
        header[124:136] = size
        checksum = sum(header[:148]) + 8 * 32 + sum(header[156:512])
        header[148:156] = b"%06o\0 " % checksum
    path.write_bytes(header)
    return str(path)


@pytest.mark.parametrize("name", ["0.txt", "0.png"])
@pytest.mark.parametrize("size", [b"77777777777\0", b"\x80" + bytes(3) + b"\x40" + bytes(7), b"\xff" * 12])
def test_a_member_that_lies_about_its_size_is_refused(name: str, size: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        open_rows(data=member(tmp_path / "a.tar", name, b"a", size))[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [("0.json", b"[" * 100_000), ("0.cls", b"9" * 100_000), ("0.json", b'{"a": NaN'), ("0.txt", b"\xff\xfe")],
)
def test_a_member_that_is_not_what_it_is_called_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read after sample '0'"):
        open_rows(data=member(tmp_path / "a.tar", name, content))


def test_links_devices_and_ways_up_in_a_shard_touch_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for number, (kind, name) in enumerate(
            [(tarfile.SYMTYPE, "0.png"), (tarfile.LNKTYPE, "0.png"), (tarfile.FIFOTYPE, "0.png")]
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = kind, "/etc/passwd", number
            tar.addfile(entry)
        entry = tarfile.TarInfo("../../0.txt")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"a"))
    before = sorted(os.listdir(tmp_path.parent))
    assert open_rows(data=str(path))[0] == {"txt": "a"}
    assert sorted(os.listdir(tmp_path.parent)) == before


@pytest.mark.parametrize(
    "data", ["/dev/zero", "a\0b", "\ud800", "s3://a/b.csv", "http://127.0.0.1:1/a.csv", "x" * 5000]
)
def test_what_is_no_file_is_not_opened(data: str) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder|cannot be read|hub"):
        open_rows(data=data)
