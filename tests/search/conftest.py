"""A run of the toys, in which equal samples of different modalities have equal vectors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from fusion import Model, Predictor, Recipe, Registry, Run, tensors
from fusion import run as runs
from fusion.files import json_bytes
from fusion.picks import complete
from fusion.search.rows import Rows
from fusion.search.update import Updated, update
from tests.evaluation import toys

Update = Callable[..., Updated]


def make(folder: Path, registry: Registry, seed: int = 0) -> tuple[Run, Model]:
    """Write a finished run of the toys into a folder; what it fuses is no mean."""
    chosen = toys.recipe(registry, batch=5).model_dump() | {"fuser": {"name": "gate"}}
    recipe = complete(Recipe(**chosen), registry)
    run = runs.create("toys", recipe, folder)
    model = toys.model(recipe, registry)
    with torch.no_grad():
        model.align["text"].project.weight += seed
    files = {run.model_file.name: tensors.write(run.model_file, model.state_dict())}
    (run.folder / "manifest.json").write_bytes(json_bytes(runs.manifest(recipe, registry, {}, files)))
    return run, model


@pytest.fixture
def toy_registry() -> Registry:
    return toys.registry()


@pytest.fixture
def toy(tmp_path: Path, toy_registry: Registry) -> tuple[Run, Model]:
    return make(tmp_path / "run", toy_registry)


@pytest.fixture
def predictor(toy: tuple[Run, Model], toy_registry: Registry) -> Predictor:
    run, model = toy
    weights = run.manifest["files"][run.model_file.name]
    return Predictor(model, run.recipe, registry=toy_registry, weights=weights)


@pytest.fixture
def refresh(toy: tuple[Run, Model], toy_registry: Registry) -> Update:
    """`update` of the toys' run, with options, of which rows are numbers."""
    run, model = toy

    def call(source: str = "test", **options: Any) -> Updated:
        for name in {"add", "remove"} & options.keys():
            options[name] = Rows.of(np.unique(list(options[name])).astype(np.int64))
        return update(run, model, run.recipe, source, toy_registry, Accelerator(), **options)

    return call
