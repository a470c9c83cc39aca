"""Each check of a tuning finds the bug that it is there for."""

from typing import Any

import pytest
import torch
from torch import nn

from fusion import Encoder, Encoding, PluginError, Tuning
from fusion.testing import check_tuning


class Half(Tuning):
    """The head learns from the middle of the training on."""

    def __init__(self, *, share: float = 0.5) -> None:
        self.share = share

    def prepare(self, encoder: Encoder) -> None:
        encoder.requires_grad_(False)
        encoder.get_submodule("head").requires_grad_(True)

    def start_step(self, encoder: Encoder, step: int, steps: int) -> None:
        encoder.get_submodule("head").requires_grad_(step >= self.share * steps)


def test_a_good_tuning_passes() -> None:
    assert check_tuning(Half, share=0.3) == [
        "what it prepares gives the same vectors as before, to the bit",
        "what the encoder keeps from learning stays kept",
        "in 12 steps only what it marked learns, and each step is the same when resumed there",
        "saved weights give another build the same vectors",
        "merged, its weights give an encoder that is not tuned the same vectors",
    ]


class Resets(Half):
    def prepare(self, encoder: Encoder) -> None:
        super().prepare(encoder)
        nn.init.zeros_(encoder.get_parameter("head.bias"))


class Unlocks(Half):
    def prepare(self, encoder: Encoder) -> None:
        encoder.requires_grad_(True)


class UnlocksTheLast(Half):
    def prepare(self, encoder: Encoder) -> None:
        encoder.requires_grad_(False)
        for parameter in encoder.layer_groups()[-1]:
            parameter.requires_grad_(True)


class Unmarked(Half):
    def start_step(self, encoder: Encoder, step: int, steps: int) -> None:
        encoder.get_submodule("body").requires_grad_(step > 3)


class Counts(Half):
    calls = 0

    def start_step(self, encoder: Encoder, step: int, steps: int) -> None:
        self.calls += 1
        encoder.get_submodule("head").requires_grad_(self.calls > 5)


class Unmerged(Half):
    def prepare(self, encoder: Encoder) -> None:
        super().prepare(encoder)
        encoder.register_parameter("extra", nn.Parameter(torch.zeros(1)))


class Forgets(Half):
    def merge(self, encoder: Encoder) -> None:
        nn.init.zeros_(encoder.get_parameter("head.weight"))


class Shifts(Half):
    """Keeps what it adds where no state_dict sees it."""

    def prepare(self, encoder: Encoder) -> None:
        super().prepare(encoder)
        steps = [0.0]

        def shift(module: nn.Module, given: Any, encoding: Encoding) -> Encoding:
            steps[0] += module.training
            return Encoding(encoding.pooled + steps[0])

        encoder.register_forward_hook(shift)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Resets, "prepare changes the vectors; expected the same bits as before"),
        (Unlocks, "lets a parameter learn that the encoder keeps fixed"),
        (UnlocksTheLast, "lets a parameter learn that the encoder keeps fixed"),
        (Unmarked, r"at step 4 of 12 body\.0\.bias, .* learn, which prepare did not mark"),
        (Counts, "at step 5 of 12 other parameters learn when a training is resumed there"),
        (Shifts, "another build with its saved weights gives other vectors"),
        (Unmerged, "after merge the encoder has other tensors than at first"),
        (Forgets, "after merge the vectors differ by"),
        (object, "it builds a object; expected a fusion.Tuning"),
    ],
)
def test_a_bug_is_found(build: type, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_tuning(build)
