"""Tensors in files of safetensors: written one after the other, read in parts, never all in memory."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from fusion.errors import CheckpointError, RunError
from fusion.files import parse_json

SPAN = 1 << 14
"""Numbers that are read at once where a tensor is read in parts."""

TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in TYPES.items()}


class Stored(NamedTuple):
    """A tensor in a file; its numbers are read when they are asked for."""

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int  # byte of the file

    def numel(self) -> int:
        return prod(self.shape)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Yield the bounds of the parts in which it is best read."""
        for start in range(0, self.numel(), SPAN):
            yield start, min(start + SPAN, self.numel())

    def part(self, start: int, end: int) -> Tensor:
        """Return the numbers from `start` to `end`, in the order of the last axis first, (end - start,)."""
        read = torch.empty(end - start, dtype=self.dtype)
        with self.path.open("rb") as file:
            file.seek(self.begin + start * self.dtype.itemsize)
            if file.readinto(_bytes(read)) != read.nbytes:
                raise RunError(f"{self.path} ends in the middle of a tensor; copy the run again")
        return read

    def whole(self) -> Tensor:
        return self.part(0, self.numel()).view(self.shape)


def stored(path: Path) -> dict[str, Stored]:
    """Return the tensors of a file by name; none is read. Raises RunError for what is no such file."""
    try:
        with safe_open(path, "pt"):  # looks at every entry of the header
            pass
    except SafetensorError as error:
        raise RunError(f"cannot read {path} as safetensors ({error}); give a finished run") from error
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = parse_json(file.read(size))
    header.pop("__metadata__", None)
    unknown = sorted({entry["dtype"] for entry in header.values()} - TYPES.keys())
    if unknown:
        raise RunError(f"{path} has tensors of type {', '.join(unknown)}; known: {', '.join(TYPES)}")
    return {
        name: Stored(path, TYPES[entry["dtype"]], tuple(entry["shape"]), 8 + size + entry["data_offsets"][0])
        for name, entry in sorted(header.items())
    }


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, in memory. Raises RunError for what is no such file."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise RunError(f"cannot read {path} as safetensors ({error})") from error


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> str:
    """Write a file of safetensors and return its SHA-256; shared storage is written for each name.

    Raises CheckpointError for a type of numbers that the format does not have.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in _NAMES:
            raise CheckpointError(f"cannot write {path}: {name} is of {tensor.dtype}; use {', '.join(TYPES)}")
    # the widest types first, so that every tensor begins at a multiple of its width
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    place = 0
    for name in names:
        tensor = tensors[name]
        bounds = [place, place + tensor.nbytes]
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": bounds,
        }
        place = bounds[1]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    begin = len(text).to_bytes(8, "little") + text
    digest = hashlib.sha256(begin)
    with path.open("wb") as file:
        file.write(begin)
        for name in names:
            part = _bytes(tensors[name].detach().cpu().contiguous())
            file.write(part)
            digest.update(part)
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous tensor on the CPU."""
    return tensor.view(-1).view(torch.uint8).numpy().data
