"""Run the rows of a batch in a few buckets of similar length, so that little of the work is padding."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.encoder import Encoding

ON_CPU = 64  # tokens: 44 forwards and 76 with the way back for MiniLM, 38 and 63 for a BERT base, one thread
ON_DEVICE = 4096  # tokens: reckoned from what launching the kernels of a layer takes, not measured


def overhead() -> int:
    """Return how many tokens' work one more bucket costs: weights are read, kernels launched again."""
    return ON_DEVICE if torch.accelerator.is_available() else ON_CPU


def plan(lengths: Sequence[int], overhead: int) -> list[list[int]]:
    """Return the rows of each bucket such that padded tokens and `overhead` tokens a bucket are fewest.

    An exact dynamic programme over the different lengths, since some best buckets hold neighbours in length.
    With an overhead of 0 only rows of equal length share a bucket.
    """
    different, counts = np.unique(np.asarray(lengths), return_counts=True)
    rows_below = np.concatenate([[0], np.cumsum(counts)])
    cost = np.zeros(len(different) + 1)  # of the shortest rows, up to each length
    start = np.zeros(len(different) + 1, int)  # where the bucket that ends there begins
    for end in range(1, len(different) + 1):
        costs = cost[:end] + (rows_below[end] - rows_below[:end]) * different[end - 1] + overhead
        start[end] = costs.argmin()
        cost[end] = costs[start[end]]
    buckets = []
    end = len(different)
    while end:
        shortest, longest = different[start[end]], different[end - 1]
        buckets.append([row for row, length in enumerate(lengths) if shortest <= length <= longest])
        end = int(start[end])
    return buckets[::-1]


def pack(buckets: Sequence[Sequence[int]], inputs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Name the inputs of each bucket `name_0`, `name_1` ... after `order` (n,), which undoes the buckets."""
    rows = torch.tensor([row for bucket in buckets for row in bucket])
    named = {
        f"{name}_{number}": tensor for number, bucket in enumerate(inputs) for name, tensor in bucket.items()
    }
    return {"order": rows.argsort(), **named}


def unpack(named: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return the inputs of each bucket under their own names."""
    buckets: dict[str, dict[str, Tensor]] = {}
    for key, tensor in named.items():
        name, _, number = key.rpartition("_")
        buckets.setdefault(number, {})[name] = tensor
    return list(buckets.values())


def restore(order: Tensor, encodings: Sequence[Encoding], tokens_read: bool = True) -> Encoding:
    """Put the rows of all buckets back in order; tokens, if there are any, are padded to the longest row."""
    every = torch.cat([encoding.pooled for encoding in encodings])[order]
    with_tokens = [(tokens, mask) for _, tokens, mask in encodings if tokens is not None]
    if not with_tokens or not tokens_read:
        return Encoding(every)
    longest = max(tokens.shape[1] for tokens, _ in with_tokens)
    padded, masks = [], []
    for tokens, mask in with_tokens:
        assert mask is not None
        padding = longest - tokens.shape[1]
        padded.append(F.pad(tokens, (0, 0, 0, padding)))  # (n of the bucket, t, d)
        masks.append(F.pad(mask, (0, padding)))
    return Encoding(every, torch.cat(padded)[order], torch.cat(masks)[order])
