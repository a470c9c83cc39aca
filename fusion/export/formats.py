"""Write a graph to a file, as ONNX or as torch.export has it."""

import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch

from fusion.errors import RunError
from fusion.export.graphs import Graph, reason

LARGE = 2**30
"""Bytes of weights from which they get a file of their own: one file of ONNX holds 2 GiB at most."""


def write_onnx(graph: Graph, path: Path) -> None:
    """Write `PART.onnx`, with its weights in it, or beside it where they are large. Raises RunError."""
    tensors = {**graph.program.state_dict, **graph.program.constants}.values()
    size = sum(part.numel() * part.element_size() for part in tensors if isinstance(part, torch.Tensor))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, on versions of operators
            made = torch.onnx.export(
                graph.program,
                (),
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamo=True,
                verbose=False,
            )
            assert made is not None
            made.save(path, external_data=size > LARGE)
    except Exception as error:  # of dozens of types
        raise RunError(f"{graph.part} has no form in ONNX: {reason(error)}; try --format torch") from error


def write_torch(graph: Graph, path: Path) -> None:
    """Write `PART.pt2`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(graph.program, path)


def _script_of_onnx() -> ModuleType:
    from fusion.export import predict_onnx

    return predict_onnx


def _script_of_torch() -> ModuleType:
    from fusion.export import predict_torch

    return predict_torch


class Format(NamedTuple):
    """The suffix of files, the modules that are needed, what writes a graph, what imports its script."""

    suffix: str
    needs: Sequence[str]
    write: Callable[[Graph, Path], None]
    script: Callable[[], ModuleType]


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), write_onnx, _script_of_onnx),
    "torch": Format(".pt2", (), write_torch, _script_of_torch),
}


def expect(name: str) -> None:
    """Raise RunError for a format that is not known, or for which something is not installed."""
    if name not in FORMATS:
        raise RunError(f"format is {name!r}; known: {', '.join(FORMATS)}")
    lacking = [module for module in FORMATS[name].needs if find_spec(module) is None]
    if lacking:
        raise RunError(
            f"--format {name} needs {', '.join(lacking)}, which is not installed: "
            f"pip install 'fusion-bind[{name}]'"
        )
