"""With all of its heads it is torch's attention; with fewer, that with zeros in the place of the others."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion.compressions.heads import HeadAttention

PADDING = torch.tensor([[False] * 5, [False, False, False, True, True]])
CAUSAL = torch.ones(4, 5).triu(2).bool()


def attention(**options: Any) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    return nn.MultiheadAttention(12, 3, **options).eval()


@pytest.mark.parametrize("masks", [{}, {"key_padding_mask": PADDING}, {"attn_mask": CAUSAL}, {
    "attn_mask": torch.randn(4, 5), "key_padding_mask": PADDING * -9.0
}, {"attn_mask": torch.randn(6, 4, 5)}])  # fmt: skip
@pytest.mark.parametrize("asked", [{"need_weights": False}, {}, {"average_attn_weights": False}])
@pytest.mark.parametrize("options", [{"batch_first": True}, {"bias": False}])
def test_with_all_heads_it_is_that_of_torch(
    masks: dict[str, Tensor], asked: dict[str, bool], options: dict[str, bool]
) -> None:
    torchs = attention(**options)
    query, key, value = torch.randn(2, 4, 12), torch.randn(2, 5, 12), torch.randn(2, 5, 12)
    given = (
        [query, key, value] if torchs.batch_first else [part.transpose(0, 1) for part in (query, key, value)]
    )
    expected, weights = torchs(*given, **masks, **asked)
    out, own = HeadAttention(torchs).eval()(*given, **masks, **asked)
    torch.testing.assert_close(out, expected)
    assert (own is None) == (weights is None)
    if own is not None:
        torch.testing.assert_close(own, weights)


def test_without_a_batch() -> None:
    torchs, x = attention(), torch.randn(4, 12)
    torch.testing.assert_close(HeadAttention(torchs).eval()(x, x, x), torchs(x, x, x))


def test_with_two_of_three_heads() -> None:
    torchs, x = attention(batch_first=True), torch.randn(2, 4, 12)
    fewer = HeadAttention(torchs).eval()
    kept = torch.cat([torch.arange(0, 4), torch.arange(8, 12)])
    rows = torch.cat([kept, kept + 12, kept + 24])
    with torch.no_grad():
        torchs.out_proj.weight[:, 4:8] = 0
    expected = torchs(x, x, x, need_weights=False)[0]
    fewer.in_proj_weight = nn.Parameter(torchs.in_proj_weight[rows])
    fewer.in_proj_bias = nn.Parameter(torchs.in_proj_bias[rows])
    fewer.out_proj.weight = nn.Parameter(torchs.out_proj.weight[:, kept])
    assert fewer.num_heads == 2
    torch.testing.assert_close(fewer(x, x, x, need_weights=False)[0], expected)


def test_dropout_is_that_of_a_training_only() -> None:
    fewer, x = HeadAttention(attention(dropout=0.5, batch_first=True)), torch.randn(1, 4, 12)
    assert torch.equal(fewer.eval()(x, x, x)[0], fewer(x, x, x)[0])
    assert not torch.equal(fewer.train()(x, x, x)[0], fewer(x, x, x)[0])
