import math

import pytest
import torch

from fusion import RecipeError
from fusion.fusers.attend import Attend
from tests.fusers.toys import literal, random

NAMES = ("image", "text", "audio")


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"fuser\.heads: width \(64\) must be divisible by heads \(5\)"):
        Attend(NAMES, 64, heads=5)


def test_one_head_by_hand() -> None:
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


def test_tokens_are_read() -> None:
    torch.manual_seed(0)
    attend, present = Attend(NAMES, 8), [(True, True, True)]
    with_tokens, without = attend(random(present)), attend(random(present, tokens=()))
    assert (with_tokens - without).abs().max() > 1e-3


def test_the_order_of_tokens_is_of_no_account() -> None:
    attend, embeddings = Attend(NAMES, 8), random([(True, True, True)] * 2)
    turned = embeddings._replace(
        tokens={name: x.flip(1) for name, x in embeddings.tokens.items()},
        mask={name: x.flip(1) for name, x in embeddings.mask.items()},
    )
    torch.testing.assert_close(attend(turned), attend(embeddings), atol=1e-5, rtol=0)


def test_modalities_are_told_apart() -> None:
    attend = Attend(NAMES, 4)
    vector = [0.5, -0.5, 0.5, 0.5]
    fused = attend(literal(image=[vector, None], text=[None, vector], audio=[None, None]))
    assert (fused[0] - fused[1]).abs().max() > 1e-3


def test_dropout_acts_in_training_only() -> None:
    attend, embeddings = Attend(NAMES, 8, dropout=0.5), random([(True, True, True)])
    assert not torch.equal(attend(embeddings), attend(embeddings))
    attend.eval()
    assert torch.equal(attend(embeddings), attend(embeddings))


def test_shares_count_tokens_where_attention_is_even() -> None:
    """Without weights every token is attended to as much as any other, in each of two layers."""
    fuser = Attend(NAMES, 8, heads=2, layers=2).eval()
    for block in fuser.blocks:
        torch.nn.init.zeros_(block.self_attn.in_proj_weight)
    rows = random([[True, True, True], [True, False, True], [False, False, False]])
    seen = torch.stack([rows.present[name] + rows.mask[name].sum(1) for name in NAMES], dim=1)  # with pooled
    with torch.no_grad():
        shares = fuser.shares(rows)
    torch.testing.assert_close(shares, seen / seen.sum(1, keepdim=True).clamp(min=1))
    assert shares[1, 1] == 0
    assert not shares[2].any()


def test_shares_follow_attention_from_the_last_layer_to_the_first() -> None:
    """Against the product of whole matrices, as the paper writes it."""
    torch.manual_seed(0)
    fuser = Attend(NAMES, 8, heads=2, layers=3).eval()
    rows = random([[True, True, True], [True, True, False]], tokens=())
    rolled = torch.eye(4).expand(2, 4, 4)
    vectors = [fuser.summary.expand(2, 8), *(rows.visible(name) + fuser.kind[name] for name in NAMES)]
    x = torch.stack(vectors, dim=1)
    hidden = torch.stack([torch.tensor([False, False]), *(~rows.present[name] for name in NAMES)], dim=1)
    with torch.no_grad():
        for block in fuser.blocks:
            normed = block.norm1(x)
            attention = block.self_attn(normed, normed, normed, key_padding_mask=hidden)[1]
            rolled = (0.5 * attention + 0.5 * torch.eye(4)) @ rolled
            x = block(x, src_key_padding_mask=hidden)
        expected = rolled[:, 0, 1:] / rolled[:, 0, 1:].sum(1, keepdim=True)
        torch.testing.assert_close(fuser.shares(rows), expected)
