"""Files of tensors that are written one after the other and read in parts."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fusion import CheckpointError, RunError
from fusion.tensors import SPAN, stored, write

TENSORS = {
    "count": torch.tensor(5),
    "number": torch.tensor(2.5),
    "none": torch.zeros(0, 3),
    "half": torch.tensor([1.5, -2.0, 3.0]).bfloat16(),
    "flags": torch.tensor([True, False, True]),
    "matrix": torch.arange(6.0).view(2, 3),
    "größe": torch.arange(4, dtype=torch.int16),
}


def test_what_is_written_is_what_safetensors_reads(tmp_path: Path) -> None:
    write(tmp_path / "ours", TENSORS)
    save_file(TENSORS, tmp_path / "theirs")
    ours, theirs = load_file(tmp_path / "ours"), load_file(tmp_path / "theirs")
    assert ours.keys() == theirs.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert (ours[name].dtype, ours[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(ours[name], theirs[name])
    assert (tmp_path / "ours").stat().st_size == (tmp_path / "theirs").stat().st_size
    assert all(tensor.begin % tensor.dtype.itemsize == 0 for tensor in stored(tmp_path / "ours").values())


def test_views_and_shared_storage_are_written_for_each_name(tmp_path: Path) -> None:
    matrix = torch.arange(6.0).view(2, 3)
    write(tmp_path / "file", {"matrix": matrix, "same": matrix, "turned": matrix.T, "row": matrix[1]})
    read = load_file(tmp_path / "file")
    assert read["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert read["row"].tolist() == [3, 4, 5]
    assert torch.equal(read["matrix"], read["same"])


def test_tensors_are_read_whole_and_in_parts(tmp_path: Path) -> None:
    write(tmp_path / "file", TENSORS | {"long": torch.arange(SPAN + 3.0)})
    found = stored(tmp_path / "file")
    assert found.keys() == {*TENSORS, "long"}
    for name, tensor in TENSORS.items():
        read = found[name].whole()
        assert (read.dtype, read.shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(read, tensor)
    assert found["matrix"].part(2, 5).tolist() == [2, 3, 4]
    assert list(found["long"].spans()) == [(0, SPAN), (SPAN, SPAN + 3)]
    assert found["long"].part(SPAN, SPAN + 3).tolist() == [SPAN, SPAN + 1, SPAN + 2]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, {"matrix": torch.zeros(4, 4)})
    tensor = stored(path)["matrix"]
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(RunError, match=r"cannot read .*file as safetensors .*; give a finished run"):
        stored(path)
    with pytest.raises(RunError, match=r"file ends in the middle of a tensor; copy the run again"):
        tensor.whole()


def test_a_type_that_the_format_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot write .*: phase is of torch\.complex128; use F64"):
        write(tmp_path / "file", {"phase": torch.zeros(2, dtype=torch.complex128)})
    assert not (tmp_path / "file").exists()
