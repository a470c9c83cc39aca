"""The module of sentence-transformers that encodes by a run; imported only where that is installed."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from sentence_transformers.base.modules import InputModule

from fusion.data.collate import Collator
from fusion.data.order import Slots
from fusion.hub.push import files
from fusion.inference import load
from fusion.run import Run

BOTH = ("text", "image")
"""The modalities that both know, by the same names."""


class Encode(InputModule):
    """Samples of one modality in, vectors of unit length out."""

    def __init__(self, run: Run, device: str | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run, self.model = run, load(run, device).model
        self._collator = Collator(self.model.processors, {})

    @property
    def modalities(self) -> list[Any]:
        return [name for name in BOTH if name in self.model.modalities]

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **options: Any) -> dict[str, Any]:
        rows = [{"text": (prompt or "") + one} if isinstance(one, str) else {"image": one} for one in inputs]
        samples = [self._collator.decode(row) for row in rows]
        return {"batch": self._collator.stack(samples, Slots.unnumbered(len(samples)))}

    def forward(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        batch = send_to_device(features["batch"], next(self.model.parameters()).device)
        found = self.model.embed(batch).pooled
        vectors = torch.stack([found[name] for name in self.modalities])  # 0 but for the one that is there
        return features | {"sentence_embedding": vectors.sum(0)}

    def save(self, output_path: str, *args: Any, **options: Any) -> None:
        for path in files(self.run):
            place = Path(output_path) / path.relative_to(self.run.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", *given: Any, **options: Any) -> "Encode":
        return cls(Run(Path(model_name_or_path) / subfolder))
