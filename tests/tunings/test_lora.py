"""Low-rank adaptation: the numbers of the paper's equation, on every type of module it is put into."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fusion import Encoder
from fusion.tunings.lora import Lora

Wrap = Callable[[nn.Module, int], Encoder]


def fill(encoder: Encoder) -> list[str]:
    """Give what learns numbers, so that B is not zero; return the names."""
    torch.manual_seed(1)
    names = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    with torch.no_grad():
        for name in names:
            encoder.get_parameter(name).normal_(0, 0.3)
    return names


def matrices(encoder: Encoder) -> list[Tensor]:
    """Return the matrices that learn, an A and a B in turns."""
    return [parameter.detach() for parameter in encoder.parameters() if parameter.requires_grad]


def test_a_linear_layer_gives_w_x_and_alpha_by_rank_b_a_x(wrap: Wrap) -> None:
    layer = nn.Linear(4, 3)
    weight, bias, x = layer.weight.detach().clone(), layer.bias.detach().clone(), torch.randn(5, 4)
    encoder = wrap(layer, 3)
    Lora(rank=2, alpha=6).prepare(encoder)
    torch.testing.assert_close(encoder(x).pooled, x @ weight.T + bias)  # B is zero
    fill(encoder)
    down, up = matrices(encoder)
    assert (down.shape, up.shape) == ((2, 4), (3, 2))
    expected = x @ weight.T + bias + 6 / 2 * (x @ down.T @ up.T)
    torch.testing.assert_close(encoder(x).pooled, expected)


def test_the_transposed_linear_layer_of_transformers_too(wrap: Wrap) -> None:
    layer = Conv1D(3, 4)  # outputs, inputs; its weight is (inputs, outputs)
    weight, x = layer.weight.detach().clone(), torch.randn(5, 4)
    encoder = wrap(layer, 3)
    Lora(rank=1, alpha=1).prepare(encoder)
    fill(encoder)
    down, up = matrices(encoder)
    torch.testing.assert_close(encoder(x).pooled, x @ weight + x @ down.T @ up.T)


def test_convolutions_when_they_are_named(wrap: Wrap) -> None:
    layer = nn.Conv2d(2, 3, 3)
    weight, bias, x = layer.weight.detach().clone(), layer.bias, torch.randn(1, 2, 5, 5)
    assert bias is not None
    encoder = wrap(layer, 3)
    Lora(rank=2, alpha=2, targets=("Conv2d",)).prepare(encoder)
    fill(encoder)
    down, up = matrices(encoder)
    delta = torch.einsum("or,rchw->ochw", up.flatten(1), down)
    torch.testing.assert_close(encoder(x).pooled, F.conv2d(x, weight + delta, bias), atol=1e-5, rtol=1e-5)


class Attention(nn.Module):
    def __init__(self, **kinds: int) -> None:
        super().__init__()
        self.attend, self.kinds = nn.MultiheadAttention(8, 2, batch_first=True, **kinds), kinds

    def forward(self, x: Tensor) -> Tensor:
        keys = x[..., : self.kinds.get("kdim", 8)]
        return self.attend(x, keys, x[..., : self.kinds.get("vdim", 8)], need_weights=False)[0].mean(1)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kinds", [{}, {"kdim": 4, "vdim": 6}])
def test_torchs_attention_gives_what_changed_weights_give(kinds: dict[str, int], wrap: Wrap) -> None:
    plain, x = Attention(**kinds), torch.randn(3, 5, 8)
    weights = {name: value.clone() for name, value in plain.state_dict().items()}
    encoder = wrap(plain, 8)
    before = encoder.eval()(x).pooled
    Lora(rank=2, alpha=4).prepare(encoder)
    assert torch.equal(encoder(x).pooled, before)
    fill(encoder)
    changed = Attention(**kinds)
    names = [name for name, value in weights.items() if value.ndim == 2]
    assert len(names) == (4 if kinds else 2)
    parts = dict(encoder.named_parameters())
    for name in names:
        folder, _, leaf = f"body.{name}".rpartition(".")
        down, up = (parts[f"{folder}.parametrizations.{leaf}.0.{part}"] for part in ("down", "up"))
        weights[name] = weights[name] + 2 * (up @ down)
    changed.load_state_dict({name: value.detach() for name, value in weights.items()})
    torch.testing.assert_close(encoder(x).pooled, changed.eval()(x))
    with torch.no_grad():
        torch.testing.assert_close(encoder(x).pooled, changed(x))


def test_a_layer_of_torch_that_reads_weights_gives_the_same_in_evaluation(wrap: Wrap) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    encoder, x = wrap(layer, 8), torch.randn(3, 5, 8)
    Lora(rank=2).prepare(encoder)
    names = fill(encoder)
    assert len(names) == 8  # A and B of the attention's input and output, and of both linear layers
    learning = encoder.train()(x).pooled
    with torch.inference_mode():
        torch.testing.assert_close(encoder.eval()(x).pooled, learning.detach(), atol=1e-5, rtol=1e-5)


def test_the_weights_keep_their_bits_however_often_they_are_used(wrap: Wrap) -> None:
    encoder = wrap(nn.Sequential(Attention(), nn.Linear(8, 8)), 8)
    Lora(rank=2).prepare(encoder)
    fill(encoder)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    for _ in range(5):
        encoder.train()(torch.randn(3, 5, 8)).pooled.sum().backward()
        encoder.eval()(torch.randn(3, 5, 8))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    reached = [name for name, parameter in encoder.named_parameters() if parameter.grad is not None]
    assert len(reached) == 6
    assert all(encoder.get_parameter(name).requires_grad for name in reached)


def test_only_the_small_matrices_learn(wrap: Wrap) -> None:
    encoder = wrap(nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4)), 4)
    Lora(rank=2).prepare(encoder)
    learning = sum(parameter.numel() for parameter in encoder.parameters() if parameter.requires_grad)
    assert learning == 2 * (8 + 8) + 2 * (8 + 4)


def test_a_module_that_the_encoder_keeps_fixed_gets_none(wrap: Wrap) -> None:
    fixed = nn.Linear(8, 8).requires_grad_(False)
    encoder = wrap(nn.Sequential(fixed, nn.Linear(8, 4)), 4)
    Lora(rank=2).prepare(encoder)
    assert len(fill(encoder)) == 2
    assert isinstance(encoder.body, nn.Sequential)
    assert encoder.body[0] is fixed


def test_an_encoder_without_such_modules_is_told_what_it_has(wrap: Wrap) -> None:
    encoder = wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.GroupNorm(1, 4)), 4)
    with pytest.raises(
        ValueError,
        match=r"no module of targets Conv1D, Linear, Multi\w+; it has Conv2d \(2\), GroupNorm \(1\)",
    ):
        Lora().prepare(encoder)
