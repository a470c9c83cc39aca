"""Export a run: a graph of each encoder, one of what fuses and answers, and a script that uses them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fusion import run as runs
from fusion.errors import RunError
from fusion.export.check import check, rows_of
from fusion.export.described import described, ranges
from fusion.export.formats import FORMATS, expect
from fusion.export.graphs import Graph, encoder_graph, head_graph
from fusion.export.specimens import Specimens, specimens
from fusion.inference import Predictor, load
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.shrink.rebuild import applied, undo


class Exported(NamedTuple):
    """The folder that was written, its graphs, and by how much they differ from the run at most."""

    folder: Path
    files: list[Path]
    apart: float


def export(
    run: Run,
    format: str,
    out: Path | None = None,
    *,
    recipe: Recipe | None = None,
    source: str | None = None,
    registry: Registry | None = None,
) -> Exported:
    """Write the graphs of a run, `model.json`, `example.npz` and `predict.py` into a folder of their own.

    What is written is run on rows of `source`, by default of the first that has each modality, and compared
    with the run before the folder is there. Raises RunError where a part cannot be exported, or where it
    gives something else.
    """
    expect(format)
    folder = out or run.folder / "export" / format
    runs.expect_free(folder)
    registry = registry or Registry()
    predictor = load(run, "cpu", registry)
    found = specimens(predictor.model, recipe or run.recipe, registry, source)
    stage = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    try:
        about = {"weights": run.manifest["files"][run.model_file.name], "fusion": run.manifest["fusion"]}
        try:
            apart = write(predictor, found, format, stage, about)
        except RunError as error:
            if undone := undo(predictor.model, applied(run), registry)[0]:
                raise RunError(
                    f"{run.folder} was compressed by {', '.join(undone)}: `fusion dequantize {run.folder} "
                    f"--out FLOATS`, and export that; {error}"
                ) from error
            raise
        if folder.is_dir():  # and empty
            folder.rmdir()
        stage.replace(folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return Exported(folder, sorted(folder.iterdir()), apart)


def write(
    predictor: Predictor,
    found: Mapping[str, Specimens],
    format: str,
    folder: Path,
    about: Mapping[str, Any],
) -> float:
    """Write the graphs of a model and what belongs to them; return how far they are from it at most."""
    suffix, save = FORMATS[format].suffix, FORMATS[format].write
    graphs = trace(predictor, found)
    for graph in graphs:
        save(graph, folder / f"{graph.part}{suffix}")
    *encoders, head = [described(graph, suffix) for graph in graphs]
    for name, part in zip(found, encoders, strict=True):
        for key, numbers in ranges(found[name]).items():
            part["inputs"][key]["range"] = numbers
        part["encoder"] = predictor.recipe.encoders[name].model_dump(mode="json", exclude={"tune", "cache"})
    record = {
        "name": predictor.recipe.name,
        **about,
        "torch": torch.__version__,
        "classes": predictor.recipe.classes,
        "tasks": {name: {"target": task.target} for name, task in predictor.model.tasks.items()},
        "encoders": dict(zip(found, encoders, strict=True)),
        "head": head,
    }
    (folder / "model.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    np.savez(folder / "example.npz", **rows_of(found, 2 ** len(found) - 1))
    shutil.copyfile(str(FORMATS[format].script().__file__), folder / "predict.py")
    return check(folder, predictor, found, format)


def trace(predictor: Predictor, found: Mapping[str, Specimens]) -> list[Graph]:
    """Trace every encoder, and then what reads what they give."""
    model, graphs, encoded = predictor.model, [], {}
    for name, samples in found.items():
        if name == "head":
            raise RunError("a modality is called 'head', as the graph of fuser and tasks is")
        graph = encoder_graph(model, name, samples.traced(), samples.axes)
        with torch.no_grad():
            given = graph.program.module(check_guards=False)(*samples.alike(3).values())
        encoded[name] = dict(zip(graph.outputs, given, strict=True))
        graphs.append(graph)
    return [*graphs, head_graph(model, encoded, predictor.temperatures)]
