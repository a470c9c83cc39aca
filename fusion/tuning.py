"""What a tuning is: how an encoder that already knows something goes on learning."""

from abc import ABC, abstractmethod

from torch import nn

from fusion.encoder import Encoder


class Tuning(ABC):
    """Says what of an encoder learns, and when. Options are the keyword-only parameters of `__init__`.

    Each encoder has one of its own. What does not learn is in evaluation mode: the core sees to that.
    """

    @abstractmethod
    def prepare(self, encoder: Encoder) -> None:
        """Set `requires_grad` of every parameter to whether it learns at any time of the training.

        Called once, on an encoder that has its pretrained weights. Parameters may be added, such as
        adapters, as long as the encoder still gives the same vectors; one that the encoder itself keeps from
        learning is left alone. Raises ValueError when the encoder has nothing that could learn in this way.
        """

    def start_step(self, encoder: Encoder, step: int, steps: int) -> None:  # noqa: B027  most have no schedule
        """Set `requires_grad` to whether it learns at a step (from 0) of a training of `steps`.

        That depends on (step, steps) alone, as a training may be resumed at any step.
        """

    def merge(self, encoder: Encoder) -> None:  # noqa: B027  most add nothing
        """Give the encoder its original form back, with what was learned in its own weights.

        A tuning whose `prepare` adds parameters overrides this, so that another training can start from it.
        """


def idle(tuning: Tuning, encoder: Encoder, steps: int) -> bool:
    """Set the encoder to the last of `steps`; return whether it may learn, but does not even then."""
    may = any(parameter.requires_grad for parameter in encoder.parameters())
    tuning.start_step(encoder, steps - 1, steps)
    return may and not any(parameter.requires_grad for parameter in encoder.parameters())


def rest(module: nn.Module) -> None:
    """Put what does not learn into evaluation mode: no dropout, and BatchNorm keeps its statistics."""
    if not any(parameter.requires_grad for parameter in module.parameters()):
        module.eval()
        return
    for child in module.children():
        if any(True for _ in child.parameters()):  # one without, such as dropout, goes with its parent
            rest(child)
