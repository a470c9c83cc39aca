"""Freeze what a model has and its vector does not depend on: such a parameter would get no gradient."""

from typing import Any

import torch
from torch import Tensor

from fusion import Encoder


def freeze_unused(encoder: Encoder, raw: Any) -> None:
    """Encode one sample and freeze every parameter that its vector does not depend on.

    For models of which it is not known what they have beside the path that is used: a norm of another
    pooling, an embedding of something that is never given.
    """
    inputs = encoder.processor.collate([encoder.processor.decode(raw)])
    training = encoder.training
    with torch.enable_grad():
        pooled = encoder.eval()(**inputs).pooled
    encoder.train(training)
    used = _leaves(pooled)
    for parameter in encoder.parameters():
        if id(parameter) not in used:
            parameter.requires_grad_(False)


def _leaves(result: Tensor) -> set[int]:
    """Return the id of each parameter in the graph of a result."""
    leaves, seen, waiting = set(), set(), [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaves.add(id(getattr(node, "variable", None)))  # of the nodes where a gradient is kept
        waiting += [below for below, _ in node.next_functions]
    return leaves
