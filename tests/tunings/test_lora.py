"""Low-rank adaptation: the numbers of the paper's equation, on every type of module it is put into."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fusion import Encoder, Registry
from fusion.testing.samples import samples_of, tiny_encoder
from fusion.tunings.lora import Lora

REGISTRY = Registry()
WAVLM = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
WAVLM |= {"conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (5, 4), "num_feat_extract_layers": 2}
WAVLM |= {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
ODD = {  # whose attention reads weights
    "hf-audio": {"model": "config:wavlm", "settings": WAVLM},
    "timm-image": {"model": "swinv2_tiny_window8_256", "pretrained": False},
}

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
    assert (down.shape, up.shape) == ((1, 3), (4, 1))
    torch.testing.assert_close(encoder(x).pooled, x @ weight + x @ up @ down)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolutions_when_they_are_named(groups: int, wrap: Wrap) -> None:
    layer = nn.Conv2d(4, 8, 3, groups=groups)
    weight, bias, x = layer.weight.detach().clone(), layer.bias, torch.randn(1, 4, 5, 5)
    assert bias is not None
    encoder = wrap(layer, 8)
    Lora(rank=2, alpha=2, targets=("Conv2d",)).prepare(encoder)
    fill(encoder)
    down, up = matrices(encoder)
    delta = torch.einsum("or,rchw->ochw", up, down.view(2, 4 // groups, 3, 3))
    expected = F.conv2d(x, weight + delta, bias, groups=groups)
    torch.testing.assert_close(encoder(x).pooled, expected, atol=1e-5, rtol=1e-5)


class Reader(nn.Module):
    """Reads the weights of its layers in place of calling them, as the attention of WavLM and BEiT does."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.other = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.layer.weight, self.layer.bias), self.other.weight)


def test_weights_that_are_read_by_others_learn_too(wrap: Wrap) -> None:
    reader, x = Reader(), torch.randn(5, 4)
    one, bias, two = reader.layer.weight.detach(), reader.layer.bias.detach(), reader.other.weight.detach()
    encoder = wrap(reader, 4)
    Lora(rank=2, alpha=2).prepare(encoder)
    fill(encoder)
    down, up, other_down, other_up = matrices(encoder)
    expected = (x @ (one + up @ down).T + bias) @ (two + other_up @ other_down).T
    torch.testing.assert_close(encoder(x).pooled, expected)
    encoder(x).pooled.sum().backward()
    assert all(part.grad is not None for part in encoder.parameters() if part.requires_grad)


def test_it_is_copied_with_its_encoder(wrap: Wrap) -> None:
    encoder, x = wrap(nn.Linear(4, 4), 4), torch.randn(2, 4)
    Lora(rank=2).prepare(encoder)
    copy = deepcopy(encoder)
    fill(encoder)
    assert not torch.equal(copy(x).pooled, encoder(x).pooled)
    copy.load_state_dict(encoder.state_dict())
    assert torch.equal(copy(x).pooled, encoder(x).pooled)


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
    assert type(encoder.body[0]) is nn.Linear
    assert encoder.body[0] is fixed


def test_an_encoder_without_such_modules_is_told_what_it_has(wrap: Wrap) -> None:
    encoder = wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.GroupNorm(1, 4)), 4)
    with pytest.raises(
        ValueError,
        match=r"no matrix in modules of targets Conv1D, Linear, Multi\w+; it has Conv2d \(2\), Group",
    ):
        Lora().prepare(encoder)


def test_no_targets_and_targets_that_everything_is_are_refused(wrap: Wrap) -> None:
    with pytest.raises(ValueError, match=r"no matrix in modules of targets Module; it has Linear \(1\)"):
        Lora(targets=("Module",)).prepare(wrap(nn.Linear(2, 2), 2))
    norms = wrap(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), 2)
    with pytest.raises(ValueError, match="no matrix in modules of targets LayerNorm"):
        Lora(targets=("LayerNorm",)).prepare(norms)
    assert all(parameter.requires_grad for parameter in norms.parameters())


@pytest.mark.parametrize(
    ("name", "options"), [*((name, None) for name in REGISTRY.names("encoder")), *ODD.items()]
)
def test_on_real_encoders_every_adapter_learns(name: str, options: dict[str, Any] | None) -> None:
    offer = REGISTRY.find("encoder", name)
    assert offer.component.modality is not None
    torch.manual_seed(0)
    encoder = (offer.component.resolve()(**options) if options else tiny_encoder(offer, REGISTRY)).eval()
    samples = samples_of(offer.component.modality, offer.origin, REGISTRY)[:2]
    inputs = encoder.processor.collate([encoder.processor.decode(sample) for sample in samples])
    before = encoder(**inputs).pooled
    Lora(rank=2, targets=("Linear", "Conv1D", "Conv2d", "Conv1d", "MultiheadAttention")).prepare(encoder)
    torch.testing.assert_close(encoder(**inputs).pooled, before, atol=1e-5, rtol=0)
    names = fill(encoder)
    pooled = encoder(**inputs).pooled
    assert not torch.allclose(pooled, before, atol=1e-3)
    (pooled * torch.randn_like(pooled)).sum().backward()
    assert len(names) >= 4
    assert [part for part in names if encoder.get_parameter(part).grad is None] == []
