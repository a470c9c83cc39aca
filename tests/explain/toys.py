"""Models of three modalities made by hand, of which it is known what they go by."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusion import Embeddings, Encoder, Encoding, Fuser, Model, Prediction, Processor, Task
from fusion.batch import Batch
from fusion.data.collate import Collator
from fusion.data.order import Slots

MODALITIES = ("image", "text", "audio")
Rule = Callable[[dict[str, Tensor]], Tensor]


class Numbers(Processor):
    """Reads a list of floats."""

    def decode(self, raw: Any) -> Tensor:
        return torch.tensor(raw, dtype=torch.float32)


class Plain(Encoder):
    """Gives what it is given, four numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.processor = 4, Numbers()

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(x)


class Ruled(Fuser):
    """A vector of numbers, (b, w), that a rule makes of which modalities are shown, each (b,) of 0 and 1."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(MODALITIES, 4)
        self.rule = rule

    def forward(self, embeddings: Embeddings) -> Tensor:
        return self.rule({name: shown.float() for name, shown in embeddings.present.items()})


class Total(Fuser):
    """The sum of what is present."""

    def forward(self, embeddings: Embeddings) -> Tensor:
        return torch.stack([embeddings.visible(name) for name in self.modalities]).sum(0)


class Told(Task):
    """Answers with a fused vector as it is: with numbers, or with the class of the largest."""

    def __init__(self, classes: bool, target: str = "label") -> None:
        super().__init__(MODALITIES, 4)
        self.classes, self.target = classes, target
        self.spare = nn.Parameter(torch.zeros(1))  # by which it is known where the model is

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return fused.sum() * 0

    def predict(self, fused: Tensor) -> Prediction:
        return Prediction(fused.argmax(dim=1) if self.classes else fused, fused)

    def metrics(self) -> Any:
        from torchmetrics import MetricCollection

        return MetricCollection({})


def model(
    fuser: Fuser,
    tasks: Mapping[str, Task],
    encoders: Mapping[str, Encoder] | None = None,
    width: int = 4,
) -> Model:
    """A model whose vectors are what the encoders give."""
    parts = dict(encoders or {name: Plain() for name in MODALITIES})
    origins = {f"encoders.{name}": "test" for name in parts} | {"fuser": "test"}
    made = Model(parts, width, fuser, tasks, dict.fromkeys(tasks, 1.0), origins).eval()
    for name in parts:
        made.align[name] = nn.Identity()
    return made


def batch(made: Model, rows: Sequence[Mapping[str, Any]]) -> Batch:
    collator = Collator(made.processors, {})
    return collator.stack([collator.decode(row) for row in rows], Slots.unnumbered(len(rows)))
