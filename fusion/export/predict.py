"""Answer for processed rows, without fusion: python predict.py [INPUTS.npz]."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, Any]
Graph = Callable[[Arrays], Arrays]


def opened(folder: Path, part: Mapping[str, Any]) -> Graph:
    """Return a graph as a function of its inputs by name, which returns its outputs by name."""
    path, outputs = folder / part["file"], list(part["outputs"])
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        read = [one.name for one in session.get_inputs()]
        return lambda given: dict(
            zip(outputs, session.run(outputs, {name: given[name] for name in read}), strict=True)
        )
    import torch

    # guards also refuse sizes that the graph takes, such as the longest text
    module = torch.export.load(path).module(check_guards=False)

    def run(given: Arrays) -> Arrays:
        with torch.no_grad():
            made = module(*(torch.from_numpy(given[name]) for name in part["inputs"]))
        return dict(zip(outputs, (tensor.numpy() for tensor in made), strict=True))

    return run


def answer(folder: Path, given: Mapping[str, Any], opened: Callable[..., Graph] = opened) -> Arrays:
    """Return the fused vectors and what each task answers for the `rows` of what is given.

    `MODALITY/at` says which rows have a modality, `MODALITY/INPUT` holds an input of its encoder for them.
    """
    model = json.loads((folder / "model.json").read_text("utf-8"))
    rows, head = int(given["rows"]), {}
    for name, part in model["encoders"].items():
        at = given.get(f"{name}/at", np.zeros(0, int))
        head[f"{name}/present"] = np.isin(np.arange(rows), at)
        inputs = {key: given[f"{name}/{key}"] for key in part["inputs"] if len(at)}
        found = opened(folder, part)(inputs) if len(at) else {}
        for key, about in part["outputs"].items():
            blank = [size if isinstance(size, int) else 1 for size in about["shape"][1:]]
            shape = found[key].shape[1:] if len(at) else blank
            head[f"{name}/{key}"] = np.zeros((rows, *shape), about["dtype"])
            head[f"{name}/{key}"][at] = found.get(key, 0)
    return opened(folder, model["head"])(head)


if __name__ == "__main__":
    here = Path(__file__).parent
    with np.load(sys.argv[1] if len(sys.argv) > 1 else here / "example.npz", allow_pickle=False) as inputs:
        answers = answer(here, inputs)
    print(json.dumps({name: array.tolist() for name, array in answers.items() if name != "fused"}))
