"""Small matrices beside the weights of an encoder; they learn, the weights do not."""

import math
from collections import Counter
from typing import Annotated, Any

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrize import (
    is_parametrized,
    register_parametrization,
    remove_parametrizations,
)

from fusion.encoder import Encoder
from fusion.tuning import Tuning


class Lora(Tuning):
    """Low-rank adaptation (Hu et al. 2022, LoRA, section 4.1): W x + alpha / rank * B A x; A and B learn.

    `rank` is the number of rows of A; B is zero at first. `targets` names the types of modules that get such
    matrices, by class: also "Conv2d", "Conv1d" and "Embedding".
    """

    def __init__(
        self,
        *,
        rank: Annotated[int, Field(ge=1)] = 8,
        alpha: Annotated[float, Field(gt=0)] = 16.0,
        targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("Linear", "Conv1D", "MultiheadAttention"),
    ) -> None:
        self.rank, self.alpha, self.targets = rank, alpha, set(targets)

    def prepare(self, encoder: Encoder) -> None:
        modules = [module for module in encoder.modules() if _learning(module)]
        chosen = [module for module in modules if _types(module) & self.targets]
        weights = {
            (part, name): weight
            for module in chosen
            for part in module.modules()
            for name, weight in part.named_parameters(recurse=False)
            if weight.requires_grad and weight.ndim > 1 and name.endswith("weight")
        }
        if not weights:
            found = Counter(type(module).__name__ for module in modules if not any(module.children()))
            there = ", ".join(f"{name} ({count})" for name, count in sorted(found.items())) or "none"
            raise ValueError(
                f"the encoder has no matrix in modules of targets {', '.join(sorted(self.targets))}; "
                f"it has {there}; name one of these, such as targets: [Conv2d]"
            )
        encoder.requires_grad_(False)
        for (part, name), weight in weights.items():
            plain = type(part) is nn.Linear
            # whoever reads the weight, such as an attention that does not call its layers, gets the sum
            register_parametrization(part, name, _Delta(weight, self.rank, self.alpha / self.rank))
            if plain:
                part.__class__ = type("LoraLinear", (type(part),), {"forward": _apart})

    def merge(self, encoder: Encoder) -> None:
        for module in list(encoder.modules()):
            if type(module).forward is _apart:
                module.__class__ = type(module).__bases__[0]
            if is_parametrized(module):
                held: Any = module.parametrizations
                for name in [name for name, parts in held.items() if isinstance(parts[-1], _Delta)]:
                    remove_parametrizations(module, name)


class _Delta(nn.Module):
    """Adds B A to a weight; its first axis, which mostly counts outputs, is that of B."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, weight[0].numel()))  # A
        self.up = nn.Parameter(weight.new_zeros(len(weight), rank))  # B
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as a linear layer starts

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def _apart(self: Any, x: Tensor) -> Tensor:
    """Compute W x and B A x apart, in place of nn.Linear.forward: no gradient as large as W is needed."""
    weight = self.parametrizations.weight
    [delta] = weight
    out: Tensor = F.linear(x, weight.original, self.bias)
    added: Tensor = delta.scale * F.linear(F.linear(x, delta.down), delta.up)
    return out + added


def _learning(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _types(module: nn.Module) -> set[str]:
    """Return the names of the classes that a module is of, without those that every one is of."""
    return {kind.__name__ for kind in type(module).__mro__} - {"Module", "object"}
