"""Layers whose matrices are integers compute what torch's layers do with the rounded numbers."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion.quantization.held import Held, hold, matrices, rehearse, release, settle
from fusion.quantization.nibbles import Nibbles
from fusion.quantization.rounding import Bytes, Form

FORMS: list[Form] = [Bytes(), Nibbles(8)]
each = pytest.mark.parametrize("form", FORMS, ids=["int8", "int4"])
D = 16


class Reader(nn.Module):
    """Does not call its layer, but reads its weight, as some attentions do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(D, D)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.layer.weight) + self.layer.bias


class Doubled(nn.Linear):
    """Computes something of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, 2 * self.weight)


def held(module: nn.Module, form: Form, multiplied: int = 1) -> nn.Module:
    """Return a copy whose matrices are all integers."""
    made = copy.deepcopy(module).eval()
    for _, part, matrix in matrices(made, 1):
        hold(part, matrix, form, multiplied)
    settle(made)
    return made


def learning(module: nn.Module, form: Form, multiplied: int = 1) -> nn.Module:
    """Return a copy that is rounded while it learns, by torch's own arithmetic of floats."""
    made = copy.deepcopy(module)
    for _, part, matrix in matrices(made, 1):
        rehearse(part, matrix, form, multiplied)
    settle(made)
    return made.eval()


MODULES: list[tuple[nn.Module, Tensor]] = [
    (nn.Linear(D, 24), torch.randn(5, 3, D)),
    (nn.Linear(D, 24, bias=False), torch.randn(D)),
    (nn.Conv1d(3, 8, 5, stride=2, padding=2), torch.randn(4, 3, 21)),
    (nn.Conv2d(3, 8, 3, padding="same", dilation=2), torch.randn(4, 3, 9, 7)),
    (nn.Conv2d(3, 8, 4, stride=4), torch.randn(3, 8, 8)),  # one sample, without their axis
    (nn.Conv2d(8, 8, 3, groups=4), torch.randn(4, 8, 9, 7)),
    (nn.Conv1d(3, 8, 3, padding=1, padding_mode="reflect"), torch.randn(4, 3, 9)),
    (nn.Embedding(30, D, padding_idx=0), torch.randint(30, (4, 7))),
    (Reader(), torch.randn(5, D)),
    (Doubled(D, 8), torch.randn(5, D)),
    (nn.TransformerEncoderLayer(D, 4, 32, batch_first=True), torch.randn(3, 6, D)),
]


@each
@pytest.mark.parametrize("multiplied", [1, 10**6], ids=["integers", "floats"])
@pytest.mark.parametrize(("module", "x"), MODULES, ids=lambda part: type(part).__name__)
@torch.no_grad()
def test_integers_give_what_learning_sees(module: nn.Module, x: Tensor, form: Form, multiplied: int) -> None:
    """Also what is multiplied as floats: there activations are rounded neither here nor in training."""
    expected, found = learning(module, form, multiplied)(x), held(module, form, multiplied)(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert found.is_contiguous()
    assert not torch.equal(found, copy.deepcopy(module).eval()(x))  # it is rounded


@torch.no_grad()
def test_without_activations_of_bytes_the_floats_are_those_of_the_rounded_weight() -> None:
    layer, x = nn.Linear(D, 8), torch.randn(5, D)
    rounded = Bytes().rounded(layer.weight)
    torch.testing.assert_close(held(layer, Bytes(), 10**6)(x), F.linear(x, rounded, layer.bias))


@each
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("crossed", ["self", "pairs", "three"])
@torch.no_grad()
def test_attention_is_that_of_torch(form: Form, batch_first: bool, crossed: str) -> None:
    plain = nn.MultiheadAttention(D, 4, batch_first=batch_first).eval()
    nn.init.normal_(plain.in_proj_bias)
    n, t = 3, 5
    query = torch.randn(n, t, D) if batch_first else torch.randn(t, n, D)
    key = query if crossed == "self" else query.flip(0, 1).contiguous()
    value = key if crossed != "three" else torch.randn_like(key)
    padding = torch.zeros(n, t, dtype=torch.bool)
    padding[0, 3:] = True
    causal = torch.full((t, t), -torch.inf).triu(1)
    each_head = torch.rand(n * 4, t, t) > 0.7
    each_head[:, :, 0] = False
    quantised = held(plain, form)
    for options in (
        {},
        {"key_padding_mask": padding},
        {"attn_mask": causal, "is_causal": True},
        {"attn_mask": each_head, "key_padding_mask": padding},
        {"need_weights": False, "attn_mask": causal},
        {"need_weights": False},
        {"average_attn_weights": False},
    ):
        expected, found = plain(query, key, value, **options), quantised(query, key, value, **options)
        for one, other in zip(expected, found, strict=True):
            if one is None:
                assert other is None
            else:
                torch.testing.assert_close(other, one, rtol=0, atol=0.25 if form is FORMS[1] else 0.05)


@torch.no_grad()
def test_attention_without_a_batch() -> None:
    plain, x = nn.MultiheadAttention(D, 4).eval(), torch.randn(5, D)
    expected, found = plain(x, x, x), held(plain, Bytes())(x, x, x)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=0.05)


@pytest.mark.parametrize("options", [{"kdim": 8, "vdim": 8}, {"add_bias_kv": True}, {"add_zero_attn": True}])
@torch.no_grad()
def test_rarer_attention_has_its_matrices_rounded(options: dict[str, Any]) -> None:
    plain = nn.MultiheadAttention(D, 4, **options).eval()
    query, other = torch.randn(5, 3, D), torch.randn(5, 3, options.get("kdim", D))
    quantised = held(plain, Bytes())
    found, expected = quantised(query, other, other)[0], plain(query, other, other)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)
    assert not torch.equal(found, expected)


@torch.no_grad()
def test_torchs_transformer_takes_no_path_around_the_integers() -> None:
    layer = nn.TransformerEncoderLayer(D, 4, 32, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2)  # in training it calls its layers one by one too
    x, padding = torch.randn(3, 6, D), torch.zeros(3, 6, dtype=torch.bool)
    padding[0, 4:] = True
    quantised = held(encoder, Bytes())
    found = quantised(x, src_key_padding_mask=padding)
    torch.testing.assert_close(found[1:], encoder(x, src_key_padding_mask=padding)[1:], rtol=0, atol=0.1)
    with torch.enable_grad():
        slow = quantised(x.clone().requires_grad_(), src_key_padding_mask=padding)
    torch.testing.assert_close(slow[~padding], found[~padding], rtol=1e-4, atol=1e-4)
    assert [part.multiplies for part in quantised.modules() if isinstance(part, Held)] == [True] * 8
    for part in quantised.modules():
        release(part)
    settle(quantised)
    assert [type(part) for part in quantised.modules()] == [type(part) for part in encoder.modules()]


@each
def test_the_gradient_goes_through_integers_as_through_the_rounded_matrix(form: Form) -> None:
    for module, shape in ((nn.Linear(D, 8), (5, D)), (nn.Conv2d(3, 8, 3), (2, 3, 6, 6))):
        x = torch.randn(shape, requires_grad=True)
        held(module, form)(x).square().sum().backward()
        assert x.grad is not None
        found, x.grad = x.grad, None
        learning(module, form)(x).square().sum().backward()
        torch.testing.assert_close(found, x.grad, rtol=1e-3, atol=1e-3)


@each
def test_a_layer_that_learns_has_gradients_for_its_own_parameters(form: Form) -> None:
    layer = learning(nn.Linear(D, 8), form)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    x = torch.randn(5, D)
    layer(x).sum().backward()
    step = x.abs().amax(1, keepdim=True) / 127
    [weight, _] = layer.parameters()
    torch.testing.assert_close(weight.grad, ((x / step).round() * step).sum(0).expand(8, D))


@each
def test_released_it_is_as_before_but_rounded(form: Form) -> None:
    plain = nn.Conv2d(3, 8, 3)
    made = held(plain, form)
    assert sorted(made.state_dict()) == sorted(["bias", *(f"weight_{part}" for part in form.suffixes)])
    release(made)
    assert type(made) is nn.Conv2d
    assert [name for name, _ in made.named_parameters()] == ["weight", "bias"]
    assert torch.equal(made.weight, form.rounded(plain.weight))
    assert vars(made).keys() == vars(plain).keys()


def test_what_is_kept_beside_follows_the_weights() -> None:
    first, second = nn.Linear(D, 8), nn.Linear(D, 8)
    for multiplied in (1, 10**6):
        made, other = held(first, Bytes(), multiplied), held(second, Bytes(), multiplied)
        x = torch.randn(3, D)
        assert not torch.equal(made(x), other(x))
        made.load_state_dict(other.state_dict())
        assert torch.equal(made(x), other(x))
        assert torch.equal(copy.deepcopy(made)(x), other(x))


def test_an_embedding_that_changes_its_table_stays_as_it_is() -> None:
    assert matrices(nn.Embedding(300, 64, max_norm=1.0), 1) == []
