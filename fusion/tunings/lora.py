"""Small matrices beside the weights of an encoder; they learn, the weights do not."""

import math
import re
import warnings
from collections import Counter
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from fusion.encoder import Encoder
from fusion.tuning import Tuning

# in evaluation these read the weights of the modules inside them, and do not call them
READERS = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


class Lora(Tuning):
    """Low-rank adaptation (Hu et al. 2022, LoRA, section 4.1): W x + alpha / rank * B A x; A and B learn.

    `rank` is the number of rows of A; B is zero at first. `targets` names the types of modules that get such
    matrices, by class: also "Conv2d", "Conv1d" and "Embedding".
    """

    def __init__(
        self,
        *,
        rank: Annotated[int, Field(ge=1)] = 8,
        alpha: Annotated[int, Field(ge=1)] = 16,
        targets: tuple[str, ...] = ("Linear", "Conv1D", "MultiheadAttention"),
    ) -> None:
        self.rank, self.alpha, self.targets = rank, alpha, set(targets)

    def prepare(self, encoder: Encoder) -> None:
        learning = {
            name: module
            for name, module in encoder.named_modules()
            if any(parameter.requires_grad for parameter in module.parameters())
        }
        chosen = {name: module for name, module in learning.items() if self.targets & _types(module)}
        if not chosen:
            there = Counter(
                type(module).__name__ for module in learning.values() if not any(module.children())
            )
            raise ValueError(
                f"the encoder has no module of targets {', '.join(sorted(self.targets))}; "
                f"it has {', '.join(f'{name} ({count})' for name, count in sorted(there.items())) or 'none'}"
            )
        encoder.requires_grad_(False)
        read = {
            inner for module in learning.values() if isinstance(module, READERS) for inner in module.modules()
        }
        self._inject(encoder, [name for name, module in chosen.items() if module not in read])
        # afterwards, as peft freezes all that it has not made
        self._parametrize([module for module in chosen.values() if module in read])

    def _parametrize(self, modules: list[nn.Module]) -> None:
        """Let the weights themselves be W + alpha / rank * B A, for whoever reads them.

        peft can do so for attention, but adds and subtracts B A at every use, and W drifts by rounding.
        """
        scale = self.alpha / self.rank
        for part in {part: None for module in modules for part in module.modules()}:
            for name, weight in list(part.named_parameters(recurse=False)):
                if name.endswith("weight") and weight.ndim > 1:
                    register_parametrization(part, name, _Delta(weight, self.rank, scale))

    def _inject(self, encoder: Encoder, names: list[str]) -> None:
        """Let peft put its layers around those of the encoder: W x and B A x are computed apart."""
        if not names:
            return
        from peft import LoraConfig, inject_adapter_in_model

        exactly = "|".join(re.escape(name) for name in names)
        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=exactly)
        with warnings.catch_warnings():  # that it finds out by itself which layers are transposed
            warnings.filterwarnings("ignore", "fan_in_fan_out is set to False")
            inject_adapter_in_model(config, encoder)


class _Delta(nn.Module):
    """Adds B A to a weight, whose first axis counts outputs."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, weight[0].numel()))  # A
        self.up = nn.Parameter(weight.new_zeros(len(weight), rank))  # B
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as peft does it

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def _types(module: nn.Module) -> set[str]:
    return {kind.__name__ for kind in type(module).__mro__}
