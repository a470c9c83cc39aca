"""AdamW over the recipe's parameter groups, and the learning rate as a function of the step."""

import math
from collections.abc import Container
from typing import Any, cast

import torch
from torch import nn

from fusion.encoder import Encoder
from fusion.model import Model
from fusion.recipe.schema import Recipe, Train


def optimizer(model: Model, recipe: Recipe, held: Container[nn.Parameter] = frozenset()) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov 2019), fused, over all that learns at any time.

    Vectors are not decayed, nor is what a prior has `held`: it is pulled there already.
    """
    scales = learning_rate_scales(model, recipe)
    # one operation takes whole parameters or shards, not both
    groups: dict[tuple[float, float, type], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            decays = parameter.ndim > 1 and parameter not in held
            decay = recipe.train.weight_decay if decays else 0.0
            groups.setdefault((scales.get(parameter, 1.0), decay, type(parameter)), []).append(parameter)
    described: list[dict[str, Any]] = [
        {"params": parameters, "lr_scale": scale, "weight_decay": decay}
        for (scale, decay, _), parameters in groups.items()
    ]
    return torch.optim.AdamW(described, lr=recipe.train.lr, fused=True)


def learning_rate_scales(model: Model, recipe: Recipe) -> dict[nn.Parameter, float]:
    """Return by what the learning rate of each parameter of the encoders is multiplied.

    `lr_scale`, times `layer_decay` to the power of the layer's number, counted from the output: layer-wise
    decay (Clark et al. 2020, ELECTRA, appendix A).
    """
    scales: dict[nn.Parameter, float] = {}
    for name, pick in recipe.encoders.items():
        encoder = cast(Encoder, model.encoders[name])
        scales |= dict.fromkeys(encoder.parameters(), pick.tune.lr_scale)
        for depth, layer in enumerate(reversed(encoder.layer_groups())):
            scale = pick.tune.lr_scale * pick.tune.layer_decay**depth
            scales |= dict.fromkeys(layer, scale)
    return scales


def learning_rate(step: int, train: Train) -> float:
    """Return the rate of a step (from 0): linear warm-up, then a cosine to zero (Loshchilov 2017)."""
    warmup = round(train.warmup * train.steps)
    if step < warmup:
        return train.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, train.steps - warmup)
    return train.lr * 0.5 * (1 + math.cos(math.pi * done))
