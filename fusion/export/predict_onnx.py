"""Answer for processed rows, with numpy and onnxruntime alone: python predict.py [INPUTS.npz]."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def opened(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(graph: Any, part: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    read = {one.name: given[one.name] for one in graph.get_inputs()}
    return dict(zip(part["outputs"], graph.run(list(part["outputs"]), read), strict=True))


def answer(folder: Path, given: Mapping[str, Any], opened: Callable[[Path], Any] = opened) -> dict[str, Any]:
    model, rows, head = json.loads((folder / "model.json").read_text("utf-8")), int(given["rows"]), {}
    for name, part in model["encoders"].items():
        at = given.get(f"{name}/at", np.zeros(0, int))  # which of the rows have this modality
        inputs = {key: given[f"{name}/{key}"] for key in part["inputs"] if len(at)}
        found = run(opened(folder / part["file"]), part, inputs) if len(at) else {}
        head[f"{name}/present"] = np.isin(np.arange(rows), at)
        for key, output in part["outputs"].items():
            shape = found[key].shape[1:] if len(at) else output["blank"]
            head[f"{name}/{key}"] = np.zeros((rows, *shape), output["dtype"])
            head[f"{name}/{key}"][at] = found.get(key, 0)
    return run(opened(folder / model["head"]["file"]), model["head"], head)


if __name__ == "__main__":
    here = Path(__file__).parent
    given = np.load(sys.argv[1] if len(sys.argv) > 1 else here / "example.npz", allow_pickle=False)
    answers = {name: array.tolist() for name, array in answer(here, given).items() if name != "fused"}
    print(json.dumps(answers))
