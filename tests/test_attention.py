"""Attention between given projections, beside torch's own with the same ones."""

from typing import Any

import pytest
import torch
from torch import nn

from fusion.attention import attend

PADDING = torch.tensor([[False, False, True, True], [False, False, False, True], [False] * 4])
LATER = torch.ones(4, 4).triu(1).bool()
ADDED = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
OF_HEADS = torch.randn(6, 4, 4, generator=torch.Generator().manual_seed(1))


def like(given: torch.Tensor | None, mask: torch.Tensor | None) -> torch.Tensor | None:
    """Return the padding in the type of the mask: torch wants both alike."""
    if given is None or mask is None or mask.dtype == torch.bool:
        return given
    return torch.zeros(given.shape).masked_fill(given, -torch.inf)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need", [True, False])
@pytest.mark.parametrize("padding", [None, PADDING])
@pytest.mark.parametrize("mask", [None, LATER, ADDED, OF_HEADS])
def test_it_is_what_torch_gives(batch_first: bool, need: bool, padding: Any, mask: Any) -> None:
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(8, 2, batch_first=batch_first).eval()
    x, y = torch.randn(2, 3, 4, 8)
    if not batch_first:
        x, y = x.transpose(0, 1), y.transpose(0, 1)

    def project(*three: torch.Tensor) -> list[torch.Tensor]:
        weights, biases = theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3)
        return [part @ w.T + b for part, w, b in zip(three, weights, biases, strict=True)]

    hidden = like(padding, mask)
    with torch.no_grad():
        for average in (True, False):
            expected = theirs(x, y, y, hidden, need, mask, average)
            found = attend(theirs, project, x, y, y, hidden, need, mask, average)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_single_sequence_has_no_axis_of_the_batch() -> None:
    torch.manual_seed(0)
    theirs, x = nn.MultiheadAttention(8, 2, batch_first=False).eval(), torch.randn(4, 8)

    def project(*three: torch.Tensor) -> list[torch.Tensor]:
        weights, biases = theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3)
        return [part @ w.T + b for part, w, b in zip(three, weights, biases, strict=True)]

    with torch.no_grad():
        expected = theirs(x, x, x, PADDING[0], True, LATER)
        found = attend(theirs, project, x, x, x, PADDING[0], True, LATER, True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
