"""Bind, fuse and transfer across modalities, data sources and earlier models.

Everything public is importable from here; importing this module loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fusion.component import API, Component
from fusion.errors import (
    CheckpointError,
    DataError,
    FusionError,
    PluginError,
    RecipeError,
    RunError,
    TrainingError,
)
from fusion.hookspecs import hookimpl

if TYPE_CHECKING:
    from fusion.augmentation import Augmentation
    from fusion.batch import Batch, Choices, Row, Source, Stream, Target
    from fusion.data import decode
    from fusion.embeddings import Embeddings
    from fusion.encoder import Encoder, Encoding, Processor
    from fusion.fuser import Fuser
    from fusion.inference import Predictor, load
    from fusion.model import Model
    from fusion.objective import Objective, Prediction, Task
    from fusion.prior import Earlier, Prior, Pull
    from fusion.recipe import Recipe
    from fusion.recipe_file import read_recipe
    from fusion.registry import Registry
    from fusion.run import Run
    from fusion.sharing import shared
    from fusion.training.loop import train
    from fusion.tuning import Tuning

__version__ = "0.1.0"

_LAZY = {
    "Augmentation": "fusion.augmentation",
    "Batch": "fusion.batch",
    "Choices": "fusion.batch",
    "Row": "fusion.batch",
    "Source": "fusion.batch",
    "Stream": "fusion.batch",
    "Target": "fusion.batch",
    "decode": "fusion.data.decode",
    "Embeddings": "fusion.embeddings",
    "Encoder": "fusion.encoder",
    "Encoding": "fusion.encoder",
    "Processor": "fusion.encoder",
    "Fuser": "fusion.fuser",
    "Predictor": "fusion.inference",
    "load": "fusion.inference",
    "Model": "fusion.model",
    "Objective": "fusion.objective",
    "Prediction": "fusion.objective",
    "Task": "fusion.objective",
    "Earlier": "fusion.prior",
    "Prior": "fusion.prior",
    "Pull": "fusion.prior",
    "Recipe": "fusion.recipe",
    "read_recipe": "fusion.recipe_file",
    "Registry": "fusion.registry",
    "Run": "fusion.run",
    "shared": "fusion.sharing",
    "train": "fusion.training.loop",
    "Tuning": "fusion.tuning",
}

__all__ = [
    "API",
    "Augmentation",
    "Batch",
    "CheckpointError",
    "Choices",
    "Component",
    "DataError",
    "Earlier",
    "Embeddings",
    "Encoder",
    "Encoding",
    "Fuser",
    "FusionError",
    "Model",
    "Objective",
    "PluginError",
    "Prediction",
    "Predictor",
    "Prior",
    "Processor",
    "Pull",
    "Recipe",
    "RecipeError",
    "Registry",
    "Row",
    "Run",
    "RunError",
    "Source",
    "Stream",
    "Target",
    "Task",
    "TrainingError",
    "Tuning",
    "decode",
    "hookimpl",
    "load",
    "read_recipe",
    "shared",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'fusion' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name])
    return module if name == "decode" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
