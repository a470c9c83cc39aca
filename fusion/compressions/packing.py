"""Weights that are mostly zero, in a file: the numbers that are not, and a bit for each that says where."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

VALUES, BITS = "_values", "_bits"


def pack(module: nn.Module, name: str) -> None:
    """Let `state_dict` hold a parameter as its numbers other than zero and the bits of their places.

    The parameter stays what it is; `load_state_dict` takes that form, or the whole tensor.
    """
    module.register_state_dict_post_hook(partial(_packed, name=name))  # type: ignore[no-untyped-call]
    module.register_load_state_dict_pre_hook(partial(_unpacked, name=name))  # type: ignore[no-untyped-call]


def unpack(module: nn.Module) -> None:
    """Let `state_dict` hold whole tensors again."""
    for hooks in (module._state_dict_hooks, module._load_state_dict_pre_hooks):
        for key in [key for key, hook in hooks.items() if _function(hook) in (_packed, _unpacked)]:
            del hooks[key]


def _function(hook: Any) -> Any:
    hook = getattr(hook, "hook", hook)  # torch wraps those that take the module
    return hook.func if isinstance(hook, partial) else hook


def _packed(module: nn.Module, state: dict[str, Any], prefix: str, _: Any, name: str) -> None:
    if prefix + name not in state:  # a later compression has given it another form
        return
    weight: Tensor = state.pop(prefix + name).detach()
    kept = weight != 0
    bits = np.packbits(kept.flatten().cpu().numpy())
    state[prefix + name + VALUES] = weight[kept]
    state[prefix + name + BITS] = torch.from_numpy(bits).to(weight.device)


def _unpacked(module: nn.Module, state: dict[str, Any], prefix: str, *given: Any, name: str) -> None:
    if not all(prefix + name + part in state for part in (VALUES, BITS)):
        return
    values, bits = (state.pop(prefix + name + part) for part in (VALUES, BITS))
    shape: torch.Size = getattr(module, name).shape
    kept = np.unpackbits(bits.cpu().numpy()).astype(bool)
    state[prefix + name] = whole = values.new_zeros(shape)
    n = whole.numel()
    if len(bits) != -(-n // 8) or kept[n:].any() or kept.sum() != len(values):
        given[-1].append(f"{prefix}{name}: {len(values)} numbers and their bits do not make {tuple(shape)}")
        return
    whole[torch.from_numpy(kept[:n]).view(shape).to(values.device)] = values
