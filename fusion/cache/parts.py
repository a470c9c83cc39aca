"""Write what columns hold of the rows of a source: the part of an entry that one process fills."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor

from fusion.cache.arrays import Array, Growing
from fusion.cache.columns import Column, Modality, Samples, Targets, Values, wide
from fusion.encoder import Encoding
from fusion.errors import TrainingError
from fusion.files import sha256

Encode = Callable[[str, Mapping[str, Tensor]], Encoding]


class Part:
    """The files of one part of an entry, which grow block by block; faults are told by row and by sample."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number
        self.arrays: dict[str, Growing] = {}
        self.rows = self.samples = 0
        self.faults: dict[str, dict[int, str]] = {"rows": {}, "samples": {}}

    def append(self, name: str, values: Array) -> None:
        """Add rows to an array; its first ones say of which type and shape they all are."""
        if name not in self.arrays:
            path = self.folder / f"{name}-{self.number}.npy"
            self.arrays[name] = Growing(path, values.dtype, values.shape[1:])
        self.arrays[name].append(values)

    def note(self, rows: Mapping[int, str], samples: Mapping[int, str], size: tuple[int, int]) -> None:
        """Note the faults of a block of `size` rows and samples."""
        self.faults["rows"] |= {self.rows + number: fault for number, fault in rows.items()}
        self.faults["samples"] |= {self.samples + number: fault for number, fault in samples.items()}
        self.rows, self.samples = self.rows + size[0], self.samples + size[1]

    def close(self) -> dict[str, str]:
        """Return the files and the SHA-256 of each."""
        for array in self.arrays.values():
            array.close()
        faults = self.folder / f"faults-{self.number}.json"
        faults.write_text(json.dumps({"size": [self.rows, self.samples], **self.faults}), "utf-8")
        paths = [faults, *(array.path for array in self.arrays.values())]
        return {path.name: sha256(path) for path in paths}


class Content(ABC):
    """What an entry is to hold: how it is read of rows, and written."""

    column: Column

    @abstractmethod
    def write(self, part: Part, read: Any) -> None:
        """Add what the column has read of a block of rows."""

    @abstractmethod
    def bytes(self, part: Part, read: Any) -> float:
        """Return how much a row takes, going by what was read of some."""


class Features(Content):
    """What the encoder of a modality gives for every sample: pooled and, where it is asked for, tokens.

    Of tokens those up to the last real one are kept. Raises TrainingError for numbers that fp16 cannot hold.
    """

    def __init__(self, column: Modality, encode: Encode, dim: int, dtype: str, device: Any) -> None:
        self.column: Modality = column
        self.encode, self.dim, self.dtype, self.device = encode, dim, np.dtype(dtype), device

    @torch.no_grad()
    def write(self, part: Part, read: Samples) -> None:
        pooled = np.zeros((len(read.content), self.dim), self.dtype)
        lengths = np.zeros(len(read.content), np.int64)
        for places, inputs in read.inputs:
            encoding = self.encode(self.column.name, send_to_device(inputs, self.device))
            pooled[places] = self._stored(encoding.pooled)
            if encoding.tokens is not None:
                real = encoding.mask
                if real is None:
                    real = torch.ones(encoding.tokens.shape[:2], dtype=torch.bool, device=self.device)
                number = torch.arange(1, real.shape[1] + 1, device=self.device)
                length = (real * number).amax(1)  # (n,) up to the last real one
                within = number <= length[:, None]
                part.append("tokens", self._stored(encoding.tokens[within]))
                part.append("real", real[within].cpu().numpy())
                lengths[places] = length.cpu().numpy()
        part.append("counts", read.counts)
        part.append("content", read.content)
        part.append("pooled", pooled)
        part.append("lengths", lengths)
        part.note(read.rows, read.faults, (len(read.counts), len(read.content)))

    def bytes(self, part: Part, read: Samples) -> float:
        self.write(part, read)
        return sum(array.nbytes for array in part.arrays.values()) / len(read.counts)

    def _stored(self, values: Tensor) -> Array:
        found = values.float().cpu().numpy()
        with np.errstate(over="ignore"):
            stored = found.astype(self.dtype)
        if np.isfinite(found).all() and not np.isfinite(stored).all():
            raise TrainingError(
                f"encoders.{self.column.name}.cache: fp16 cannot hold features as large as "
                f"{np.abs(found).max():g}; use true"
            )
        return stored


class Labels(Content):
    """The targets of every row, each as an array by its number."""

    def __init__(self, column: Targets) -> None:
        self.column: Targets = column

    def write(self, part: Part, read: Values) -> None:
        rows = len(next(iter(read.values.values())))
        for number, values in enumerate(read.values.values()):
            part.append(f"target{number}", values)
        part.note(read.rows, {}, (rows, 0))

    def bytes(self, part: Part, read: Values) -> float:
        return sum(wide(target.blank(1)).nbytes for target in self.column.targets.values())
