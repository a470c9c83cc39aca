"""Bind, fuse and transfer across modalities, data sources and earlier models.

Everything public is importable from here; importing this module loads no torch.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from fusion.component import API, Component, functions_in
from fusion.errors import (
    CheckpointError,
    DataError,
    FusionError,
    PluginError,
    ProcessError,
    RecipeError,
    RunError,
    Stopped,
    TrainingError,
)
from fusion.hookspecs import hookimpl

if TYPE_CHECKING:
    from fusion.attack import Delta, Harm, Region
    from fusion.augmentation import Augmentation
    from fusion.batch import Batch, Choices, Row, Source, Stream, Target
    from fusion.compression import Compression
    from fusion.data import decode
    from fusion.embeddings import Embeddings
    from fusion.encoder import Encoder, Encoding, Processor, Signal
    from fusion.estimator import Estimator, Labelled
    from fusion.fuser import Fuser
    from fusion.gallery import Gallery
    from fusion.hub.sentences import to_sentence_transformers
    from fusion.inference import Predictor, load
    from fusion.logger import Followed, Logger
    from fusion.merging import Merging, blend
    from fusion.model import Model
    from fusion.objective import Objective, Prediction, Task
    from fusion.prior import Earlier, Prior, Pull
    from fusion.recipe.file import read_recipe
    from fusion.recipe.schema import Recipe
    from fusion.registry import Registry
    from fusion.report.notes import note
    from fusion.run import Run
    from fusion.sharing import shared
    from fusion.shrink.compress import compress
    from fusion.stress.measure import measure_under
    from fusion.studies.study import study
    from fusion.studies.tune import tune
    from fusion.tensors import Stored
    from fusion.training.loop import train
    from fusion.training.measure import measure
    from fusion.transfer.merge import merge
    from fusion.transfer.rank import rank
    from fusion.tuning import Tuning

__version__ = "0.1.0"

_LAZY = {
    "Delta": "fusion.attack",
    "Harm": "fusion.attack",
    "Region": "fusion.attack",
    "Augmentation": "fusion.augmentation",
    "Batch": "fusion.batch",
    "Choices": "fusion.batch",
    "Row": "fusion.batch",
    "Source": "fusion.batch",
    "Stream": "fusion.batch",
    "Target": "fusion.batch",
    "Compression": "fusion.compression",
    "decode": "fusion.data.decode",
    "Embeddings": "fusion.embeddings",
    "Encoder": "fusion.encoder",
    "Encoding": "fusion.encoder",
    "Processor": "fusion.encoder",
    "Signal": "fusion.encoder",
    "Estimator": "fusion.estimator",
    "Labelled": "fusion.estimator",
    "Fuser": "fusion.fuser",
    "Gallery": "fusion.gallery",
    "Predictor": "fusion.inference",
    "load": "fusion.inference",
    "Followed": "fusion.logger",
    "Logger": "fusion.logger",
    "Merging": "fusion.merging",
    "blend": "fusion.merging",
    "Model": "fusion.model",
    "Objective": "fusion.objective",
    "Prediction": "fusion.objective",
    "Task": "fusion.objective",
    "Earlier": "fusion.prior",
    "Prior": "fusion.prior",
    "Pull": "fusion.prior",
    "Recipe": "fusion.recipe.schema",
    "read_recipe": "fusion.recipe.file",
    "Registry": "fusion.registry",
    "note": "fusion.report.notes",
    "Run": "fusion.run",
    "compress": "fusion.shrink.compress",
    "shared": "fusion.sharing",
    "study": "fusion.studies.study",
    "train": "fusion.training.loop",
    "tune": "fusion.studies.tune",
    "measure": "fusion.training.measure",
    "measure_under": "fusion.stress.measure",
    "rank": "fusion.transfer.rank",
    "Stored": "fusion.tensors",
    "merge": "fusion.transfer.merge",
    "to_sentence_transformers": "fusion.hub.sentences",
    "Tuning": "fusion.tuning",
}

__all__ = [
    "API",
    "Augmentation",
    "Batch",
    "CheckpointError",
    "Choices",
    "Component",
    "Compression",
    "DataError",
    "Delta",
    "Earlier",
    "Embeddings",
    "Encoder",
    "Encoding",
    "Estimator",
    "Followed",
    "Fuser",
    "FusionError",
    "Gallery",
    "Harm",
    "Labelled",
    "Logger",
    "Merging",
    "Model",
    "Objective",
    "PluginError",
    "Prediction",
    "Predictor",
    "Prior",
    "ProcessError",
    "Processor",
    "Pull",
    "Recipe",
    "RecipeError",
    "Region",
    "Registry",
    "Row",
    "Run",
    "RunError",
    "Signal",
    "Source",
    "Stopped",
    "Stored",
    "Stream",
    "Target",
    "Task",
    "TrainingError",
    "Tuning",
    "blend",
    "compress",
    "decode",
    "functions_in",
    "hookimpl",
    "load",
    "measure",
    "measure_under",
    "merge",
    "note",
    "rank",
    "read_recipe",
    "shared",
    "study",
    "to_sentence_transformers",
    "train",
    "tune",
]

# torch reads it once, so it stands before torch is imported: on Linux large tensors get pages of 2 MB
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'fusion' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name])
    return module if name == "decode" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
