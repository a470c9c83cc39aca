"""What a compression is: how a trained model becomes a smaller one, and is built again from its files."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from fusion.batch import Batch
    from fusion.model import Model


class Compression(ABC):
    """Makes a trained model smaller. Options are the keyword-only parameters of `__init__`.

    What is saved is `model.state_dict()`, and beside it what `apply` returns; from both `restore` has to make
    the same model again, to the bit. Any encoder, fuser and objective may be in the model, and what a
    compression has no way with it leaves as it is. All methods are called without gradients.
    """

    def observe(self, model: "Model", batches: "Sequence[Batch]") -> None:  # noqa: B027  most need no rows
        """Look at some rows that the model was trained on, before it is prepared or compressed.

        They are the same each time; without a use for them there are none. The model is left as it is.
        """

    @abstractmethod
    def apply(self, model: "Model") -> dict[str, Any]:
        """Compress a model in place; return what `restore` needs to know, as plain JSON.

        The model is on the CPU and in eval mode, without what tunings add. Other compressions may have been
        applied before. What comes out depends on the options, the weights and what was observed. Raises
        ValueError where there is nothing to compress, or where the options do not fit the model.
        """

    @abstractmethod
    def restore(self, model: "Model", record: Mapping[str, Any]) -> None:
        """Give a freshly built model the form that `apply` has left, so that it takes the saved weights.

        Its numbers do not matter: all of `state_dict()` is loaded afterwards. `record` is read from a file:
        raises ValueError, KeyError or TypeError for one that does not fit the model, and runs none of it.
        """

    def expand(self, model: "Model", record: Mapping[str, Any]) -> None:  # noqa: B027  most need none
        """Put ordinary modules, whose weights can be trained, in place of those that `apply` has put there.

        They compute the same, up to rounding. A compression that leaves modules as they were, or ordinary
        ones of other shapes, has nothing to do.
        """

    def prepare(self, model: "Model", step: int, steps: int) -> None:  # noqa: B027  most wait for the end
        """Prepare for a step (from 0) of a training of `steps` after which `apply` compresses the model.

        Such as a schedule, weights that are held at zero, or arithmetic that is rounded as it will be. It is
        called on every rank before the optimiser is made, with step 0, when it may change modules; and again
        before each step, 0 included, when it may only change numbers, in place. What it does depends on
        (step, steps) and the model alone, as a training may be resumed at any step.
        """

    def conclude(self, model: "Model") -> None:  # noqa: B027  most leave nothing to undo
        """Undo what `prepare` has put into the model only for training.

        What was prepared last is concluded first, so that each finds what it has made, and all are before any
        is applied. Where there was no training, there is nothing to undo.
        """


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of the one of this name.

    Code that reads `weight` of what it holds, as some layers do, needs a module that has it.
    """
    parent = model.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], module)
    if isinstance(parent, nn.TransformerEncoderLayer):
        parent.activation_relu_or_gelu = (
            0  # its fast path would read the weights of its parts and not call them
        )
