"""Weights that a module computes from others, as while a training prepares for a compression."""

from torch import nn
from torch.nn.utils import parametrize

from fusion.quantization.held import Held


def computed(model: nn.Module) -> list[str]:
    """Return the names of weights that are masked, rounded or otherwise computed, in the order of modules."""
    names = [
        f"{path}.{name}"
        for path, module in model.named_modules()
        for name in [
            *(module.forms if isinstance(module, Held) else ()),
            *(module.parametrizations if parametrize.is_parametrized(module) else ()),
        ]
    ]
    return list(dict.fromkeys(names))


def why_nothing(model: nn.Module) -> str:
    """Return what to add to an error that finds nothing to compress: who was there before; else nothing."""
    if not (found := computed(model)):
        return ""
    return (
        f"; {len(found)} weights, such as {found[0]}, are already masked or rounded: "
        "give first what changes shapes, then what masks, and last what rounds"
    )
