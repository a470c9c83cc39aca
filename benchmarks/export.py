"""Graphs of a run beside the run itself: seconds for rows that are processed already.

    python benchmarks/export.py RUN [SCRIPT of its recipe]

Ours are the graphs in onnxruntime, the peer is torch; both have one thread.
"""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
import torch
from table import in_turns, row

from fusion import Registry, Run, load
from fusion.export.check import expected, rows_of
from fusion.export.export import export
from fusion.export.predict_onnx import answer
from fusion.export.specimens import specimens
from fusion.recipe.file import run_script


def timed(function: Callable[[], Any], times: int) -> Callable[[], float]:
    def run() -> float:
        began = perf_counter()
        for _ in range(times):
            function()
        return 1000 * (perf_counter() - began) / times

    return run


@cache
def opened(path: Path) -> onnxruntime.InferenceSession:
    """Open a graph once, with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def main(run: str, script: str | None = None) -> None:
    torch.set_num_threads(1)
    registry = Registry()
    if script is not None:
        run_script(Path(script), registry)
    predictor = load(run, "cpu", registry)
    found = specimens(predictor.model, predictor.recipe, registry)
    with TemporaryDirectory() as folder:
        made = export(Run(run), "onnx", Path(folder) / "out", registry=registry)
        for rows, times in ((1, 40), (64, 4)):
            given = rows_of(found, rows)
            everything = {f"{name}/at": np.arange(rows) for name in found}
            for name, samples in found.items():
                everything |= {f"{name}/{key}": x.numpy() for key, x in samples.mixed(rows).items()}
            given = {"rows": given["rows"], **everything}
            pair = in_turns(
                7,
                timed(lambda given=given: answer(made.folder, given, opened), times),
                timed(lambda given=given: expected(predictor, given, found), times),
            )
            row(f"export: {rows} rows of {'+'.join(found)}", *pair, "ms")
        weights = Run(run).model_file.stat().st_size
        files = sum(path.stat().st_size for path in made.files if path.suffix == ".onnx")
        row("export: bytes of graphs, of weights", [files / 1e6], [weights / 1e6], "MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
