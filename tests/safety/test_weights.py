"""Weights: safetensors whose headers lie, and runs whose manifest vouches for them."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from fusion import CheckpointError, Registry, Run, RunError, load
from fusion.files import sha256
from fusion.tensors import load_tensors, stored
from fusion.training import checkpoint
from tests.safety.conftest import Payload

ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def tensors(header: Any, data: bytes = bytes(4), size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + data


LIES = {
    "a header of 2^63 bytes": tensors({"a": ONE}, size=2**63),
    "a header of 2^40 bytes": tensors({"a": ONE}, size=2**40),
    "two tensors in one place": tensors({"a": ONE, "b": ONE}),
    "a hole": tensors({"a": ONE, "b": {**ONE, "data_offsets": [8, 12]}}, bytes(12)),
    "a negative shape": tensors({"a": {**ONE, "shape": [-1]}}),
    "2^126 numbers": tensors({"a": {**ONE, "shape": [2**63, 2**63]}}),
    "an offset of 2^63": tensors({"a": {**ONE, "data_offsets": [2**63 - 4, 2**63]}}),
    "more than there is": tensors({"a": {**ONE, "shape": [100], "data_offsets": [0, 400]}}),
    "more than it says": tensors({"a": ONE}, bytes(400)),
    "a deep header": tensors(b'{"a":' * 20_000),
    "no object": tensors(b"[" * 100_000),
    "nothing": b"",
}


@pytest.mark.parametrize("content", LIES.values(), ids=list(LIES))
def test_a_header_that_lies_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    for read in (stored, load_tensors):
        with pytest.raises(RunError, match=r"cannot read .*model\.safetensors as safetensors \(Error while"):
            read(file)


@pytest.fixture
def folder(tmp_path: Path, tiny_run: Run) -> Path:
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    return tmp_path / "run"


def vouch(folder: Path, name: str, content: bytes) -> None:
    """Write a file, and its SHA-256 into the manifest beside it."""
    (folder / name).write_bytes(content)
    path = folder / "manifest.json"
    record = json.loads(path.read_text())
    record.get("files", record)[name] = sha256(folder / name)
    path.write_bytes(json.dumps(record, indent=1).encode())


def test_weights_that_the_manifest_vouches_for_are_still_only_tensors(
    folder: Path, registry: Registry, payload: Payload
) -> None:
    for content, told in {
        pickle.dumps(payload): "as safetensors",
        tensors({"a": ONE}, size=2**63): "as safetensors",
        tensors({"a": ONE}): "holds other tensors than .* describes: .*Missing key",
    }.items():
        vouch(folder, "model.safetensors", content)
        with pytest.raises(RunError, match=told):
            load(folder, "cpu", registry)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("state.json", b"[" * 100_000),
        ("state.json", b"[]"),
        ("state.json", b"{}"),
        ("state.json", b"\x80\x04."),
        ("model.safetensors", tensors({"a": ONE}, size=2**63)),
        ("optimizer.safetensors", b"\x80\x04."),
    ],
)
def test_a_checkpoint_that_vouches_for_itself_is_still_refused(
    name: str, content: bytes, folder: Path
) -> None:
    [path] = checkpoint.all_in(folder / "checkpoints")
    checkpoint.load(path)
    vouch(path, name, content)
    with pytest.raises(CheckpointError, match="is none: "):
        checkpoint.load(path)
    assert checkpoint.latest(folder / "checkpoints")[0] is None
