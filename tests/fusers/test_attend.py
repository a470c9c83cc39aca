import math
from collections.abc import Callable

import pytest
import torch

from fusion import Embeddings, RecipeError
from fusion.fusers.attend import Attend

Build = Callable[..., Embeddings]

NAMES = ("image", "text", "audio")


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"fuser\.heads: width \(64\) must be divisible by heads \(5\)"):
        Attend(NAMES, 64, heads=5)


def test_one_head_by_hand(literal: Build) -> None:
    """Projections set to identities and no feed-forward leave softmax(q k / sqrt(w)) v, residual, norm."""
    attend = Attend(NAMES, 2, heads=1, layers=1)
    layer = attend.blocks[0]
    with torch.no_grad():
        attend.summary.copy_(torch.tensor([1.0, 0.0]))
        for kind in attend.kind.values():
            kind.zero_()
        layer.self_attn.in_proj_weight.copy_(torch.eye(2).repeat(3, 1))
        layer.self_attn.out_proj.weight.copy_(torch.eye(2))
        layer.linear2.weight.zero_()
        layer.linear2.bias.zero_()
        layer.norm1 = torch.nn.Identity()
        attend.norm = torch.nn.Identity()
    fused = attend(literal(image=[[1.0, 0.0]], text=[[0.0, 1.0]], audio=[None]))
    same, other = math.exp(1 / math.sqrt(2)), 1.0  # the summary and the image, and the text
    total = 2 * same + other
    expected = torch.tensor([[1 + 2 * same / total, other / total]])
    torch.testing.assert_close(fused, expected)


def test_tokens_are_read(random: Build) -> None:
    torch.manual_seed(0)
    attend, present = Attend(NAMES, 8), [(True, True, True)]
    with_tokens, without = attend(random(present)), attend(random(present, tokens=()))
    assert (with_tokens - without).abs().max() > 1e-3


def test_the_order_of_tokens_is_of_no_account(random: Build) -> None:
    attend, embeddings = Attend(NAMES, 8), random([(True, True, True)] * 2)
    turned = embeddings._replace(
        tokens={name: x.flip(1) for name, x in embeddings.tokens.items()},
        mask={name: x.flip(1) for name, x in embeddings.mask.items()},
    )
    torch.testing.assert_close(attend(turned), attend(embeddings), atol=1e-5, rtol=0)


def test_modalities_are_told_apart(literal: Build) -> None:
    attend = Attend(NAMES, 4)
    vector = [0.5, -0.5, 0.5, 0.5]
    fused = attend(literal(image=[vector, None], text=[None, vector], audio=[None, None]))
    assert (fused[0] - fused[1]).abs().max() > 1e-3


def test_dropout_acts_in_training_only(random: Build) -> None:
    attend, embeddings = Attend(NAMES, 8, dropout=0.5), random([(True, True, True)])
    assert not torch.equal(attend(embeddings), attend(embeddings))
    attend.eval()
    assert torch.equal(attend(embeddings), attend(embeddings))
