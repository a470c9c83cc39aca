"""What an objective is: embeddings, fused vector and targets in, one loss out; a task can also predict."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from fusion.batch import Target
from fusion.embeddings import Embeddings

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


class Objective(nn.Module, ABC):
    """A loss over the rows of all ranks, computed in fp32.

    A subclass takes `modalities` and `width` from the framework and its options as keyword-only
    parameters; one that tells sources apart has a third positional parameter, `sources`, their names in the
    order by which `Embeddings.source` numbers them. It names in `targets` what it reads from rows; a row
    without one holds `Target.missing`.
    """

    targets: Mapping[str, Target]

    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.width = width
        self.targets = {}

    @abstractmethod
    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the loss, a differentiable scalar: finite, and 0 where no row takes part.

        `fused` is (b, w) in fp32, each target (b, ...); autocast is off. Tokens are not gathered across
        ranks and not given.
        """

    def start_step(self, step: int, steps: int) -> None:
        """Prepare for a step (from 0) of a training of `steps`; never called outside of training.

        What it sets depends on (step, steps) alone, as a training may be resumed at any step.
        """


class Prediction(NamedTuple):
    """What a task answers for b rows."""

    value: Tensor  # shaped like the target: class index, numbers or flags, the answer itself
    score: Tensor  # (b, ...) what the metrics read: probabilities, or the numbers again


class Task(Objective):
    """An objective that can answer.

    One whose scores are the probabilities of classes of which a row has one, (b, classes), says so by
    `probabilities`, and its target is their index: how far they can be trusted is then measured.
    """

    target: str
    probabilities: ClassVar[bool] = False

    @abstractmethod
    def predict(self, fused: Tensor) -> Prediction:
        """Answer from the fused vectors, (b, w)."""

    def average(self, scores: Sequence[Tensor]) -> Tensor:
        """Combine the scores of several predictions of the same rows, (b, k) each, without a fuser."""
        return torch.stack(list(scores)).mean(dim=0)

    def logits(self, fused: Tensor) -> Tensor | None:
        """Return what the probabilities of classes are the softmax of, (b, classes); None without classes."""
        return None

    def row_losses(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of each row, (b,), as if it were alone, and 0 without the target: attacks raise it.

        By default `forward` is called row by row, which takes its time.
        """
        rows = [slice(row, row + 1) for row in range(len(fused))]
        return torch.stack(
            [
                self(embeddings.of_rows(row), fused[row], {key: part[row] for key, part in targets.items()})
                for row in rows
            ]
        )

    @abstractmethod
    def metrics(self) -> "MetricCollection":
        """Return fresh metrics that are updated with (score, target) of rows that have the target.

        Elements of such a target may still be missing, marked NaN.
        """

    def energy(self, fused: Tensor) -> Tensor | None:
        """Return how foreign rows are to it, (b,), more where larger; None where it cannot tell.

        Of logits f that is the free energy, -log sum exp f (Liu et al. 2020, eq. 4).
        """
        logits = self.logits(fused)
        return None if logits is None else -logits.logsumexp(dim=-1)

    def unlabelled(self, score: Tensor) -> dict[str, float]:
        """Return what can be said of the scores of rows, (r, ...), without their targets, by its name."""
        return {}
