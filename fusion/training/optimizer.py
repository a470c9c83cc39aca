"""AdamW over the recipe's parameter groups, and the learning rate as a function of the step."""

import math
from typing import Any

import torch

from fusion.model import Model
from fusion.recipe import Recipe, Train


def optimizer(model: Model, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov 2019), fused. Frozen encoders are left out; vectors are not decayed."""
    scales = {name: pick.tune.lr_scale for name, pick in recipe.encoders.items()}
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            section, _, rest = name.partition(".")
            scale = scales[rest.partition(".")[0]] if section == "encoders" else 1.0
            decay = recipe.train.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((scale, decay), []).append(parameter)
    described: list[dict[str, Any]] = [
        {"params": parameters, "lr_scale": scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]
    return torch.optim.AdamW(described, lr=recipe.train.lr, fused=True)


def learning_rate(step: int, train: Train) -> float:
    """Return the rate of a step (from 0): linear warm-up, then a cosine to zero (Loshchilov 2017)."""
    warmup = round(train.warmup * train.steps)
    if step < warmup:
        return train.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, train.steps - warmup)
    return train.lr * 0.5 * (1 + math.cos(math.pi * done))
