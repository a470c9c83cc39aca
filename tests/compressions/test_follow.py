"""Which channels can be taken, and that an encoder without them computes what it does with zeros instead."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion import Encoder, Encoding, Processor
from fusion.compressions.cut import cut, distance, families, mask, proven, scale
from fusion.compressions.follow import follow

WHOLE: dict[str, int] = {}


class Raw(Processor):
    def decode(self, raw: Any) -> Any:
        return raw


class Stranger(Encoder):
    """An encoder of some parts and a function of them."""

    def __init__(self, compute: Callable[[Any, Tensor], Tensor], parts: dict[str, nn.Module]) -> None:
        super().__init__()
        self.dim, self.processor, self.compute, self.heads = 3, Raw(), compute, 4
        for name, part in parts.items():
            self.add_module(name, part)
        self.scales = nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(self.compute(self, x))


def taken(compute: Callable[[Any, Tensor], Tensor], x: Tensor, **parts: nn.Module) -> Any:
    """Take all but one of each family that is proven; return how many there are, and why others stay.

    What is left is compared with the whole encoder, with zeros.
    """
    torch.manual_seed(0)
    encoder = Stranger(compute, parts).eval()
    for tensor in [*encoder.parameters(), *encoder.buffers()]:
        if tensor.is_floating_point():
            tensor.data.normal_(std=0.5).abs_()
    followed = follow(encoder, lambda: [encoder(x).pooled])
    counts, whole, gone = {}, {}, [torch.empty(0, dtype=torch.long)]
    masked = copy.deepcopy(encoder)
    for family in families(followed):
        answer = proven(encoder, followed, family, family.classes[0], run(x))
        if isinstance(answer, str):
            whole[family.name] = answer
        else:
            counts[family.name] = len(family.classes)
            scale(encoder, answer, 1)
            gone.append(family.classes[1:])
    before = sum(parameter.numel() for parameter in encoder.parameters())
    mask(masked, followed, torch.cat(gone))
    cut(encoder, followed, torch.cat(gone))
    assert distance(run(x)(masked), run(x)(encoder)) < 1e-6
    assert (sum(parameter.numel() for parameter in encoder.parameters()) < before) == bool(counts)
    return counts, whole


def run(x: Tensor) -> Callable[[nn.Module], list[Tensor]]:
    @torch.no_grad()
    def given(module: nn.Module) -> list[Tensor]:
        return [module(x).pooled]

    return given


ROWS, IMAGES, TOKENS = torch.randn(5, 6), torch.randn(2, 3, 8, 8), torch.randn(2, 7, 6)


def ends(hidden: int = 8) -> dict[str, nn.Module]:
    return {"first": nn.Linear(6, hidden), "last": nn.Linear(8, 3)}


def test_hidden_channels() -> None:
    assert taken(lambda m, x: m.last(F.gelu(m.first(x))), ROWS, **ends()) == ({"first": 8}, {})


def test_what_is_added_goes_together() -> None:
    def compute(m: Any, x: Tensor) -> Tensor:
        x = m.first(x)
        x = x + m.middle(x.relu())
        x += m.other(x)
        return m.last(x)

    parts = ends() | {"middle": nn.Linear(8, 8), "other": nn.Linear(8, 8)}
    assert taken(compute, ROWS, **parts) == ({"first": 8}, {})


def test_a_layer_that_is_called_twice() -> None:
    parts = ends() | {"middle": nn.Linear(8, 8)}
    compute = lambda m, x: m.last(m.middle(m.middle(m.first(x)).relu()))  # noqa: E731
    assert taken(compute, ROWS, **parts) == ({"first": 8}, {})


def test_convolutions_with_batch_norm_depthwise_ones_pools_and_a_flattened_map() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.SiLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 5, 1),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(20, 3),
    )
    assert taken(lambda m, x: m.net(x), IMAGES, net=net) == ({"net.0": 8, "net.6": 5}, {})
    assert [tuple(net[place].weight.shape) for place in (0, 3, 6, 10)] == [
        *((1, 3, 3, 3), (1, 1, 3, 3), (1, 1, 1, 1)),
        (3, 4),  # a channel of four cells
    ]


def test_group_norm_counts_what_is_gone() -> None:
    net = nn.Sequential(nn.Conv1d(6, 8, 3), nn.GroupNorm(1, 8), nn.GELU(), nn.Conv1d(8, 3, 3))
    assert taken(lambda m, x: m.net(x).mean(2), TOKENS.mT, net=net) == ({"net.0": 8}, {})


def test_squeeze_and_excitation() -> None:
    def compute(m: Any, x: Tensor) -> Tensor:
        x = m.first(x).relu()
        gate = m.expand(m.reduce(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return m.last((x * gate).mean((2, 3)))

    parts = {
        "first": nn.Conv2d(3, 8, 3),
        "reduce": nn.Conv2d(8, 4, 1),
        "expand": nn.Conv2d(4, 8, 1),
        "last": nn.Linear(8, 3),
    }
    assert taken(compute, IMAGES, **parts) == ({"first": 8, "reduce": 4}, {})


def test_halves_that_gate_each_other_go_in_pairs() -> None:
    def compute(m: Any, x: Tensor) -> Tensor:
        value, gate = m.first(x).chunk(2, dim=-1)
        return m.last(value * F.silu(gate))

    assert taken(compute, ROWS, **ends(16)) == ({"first": 8}, {})


def test_what_is_joined_end_to_end_stays_apart() -> None:
    compute = lambda m, x: m.last(torch.cat([m.first(x), m.second(x).tanh()], 1))  # noqa: E731
    parts = {"first": nn.Linear(6, 3), "second": nn.Linear(6, 5), "last": nn.Linear(8, 3)}
    assert taken(compute, ROWS, **parts) == ({"first": 3, "second": 5}, {})


def attention(m: Any, x: Tensor, *shape: int, fused: bool = True) -> Tensor:
    query, key, value = m.first(x).view(2, 7, 3, *shape).permute(2, 0, 3, 1, 4)
    mask = torch.arange(7) < 5
    if fused:
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[None, None, None])
    else:
        scores = (query @ key.transpose(2, 3)) / 2**0.5
        seen = scores.masked_fill(~mask, -torch.inf).softmax(-1) @ value
    return m.last(seen.transpose(1, 2).flatten(2)).mean(1)


@pytest.mark.parametrize("fused", [True, False])
def test_heads_of_a_forward_that_asks_for_their_size(fused: bool) -> None:
    assert taken(lambda m, x: attention(m, x, -1, 2, fused=fused), TOKENS, **ends(24)) == ({"first": 4}, {})


def test_heads_of_a_forward_that_asks_for_their_number() -> None:
    assert taken(lambda m, x: attention(m, x, m.heads, 2), TOKENS, **ends(24)) == ({"first": 4}, {})


def test_heads_of_a_forward_that_knows_their_number_stay() -> None:
    counts, whole = taken(lambda m, x: attention(m, x, 4, 2), TOKENS, **ends(24))
    assert counts == {}
    assert whole["first"].startswith("without one it does not run: shape '[2, 7, 3, 4, 2]' is invalid")


@pytest.mark.parametrize("batch_first", [True, False])
def test_heads_of_torch(batch_first: bool) -> None:
    net = nn.MultiheadAttention(8, 4, batch_first=batch_first)
    compute = lambda m, x: m.last(m.net(*[m.first(x)] * 3, need_weights=False)[0]).mean(1)  # noqa: E731
    assert taken(compute, TOKENS, net=net, **ends()) == ({"net": 4}, {})


def test_a_layer_of_torch_with_heads_and_hidden_channels() -> None:
    net = nn.TransformerEncoderLayer(8, 4, 16, batch_first=True)
    compute = lambda m, x: m.last(m.net(m.first(x))).mean(1)  # noqa: E731
    assert taken(compute, TOKENS, net=net, **ends()) == ({"net.self_attn": 4, "net.linear1": 16}, {})


@pytest.mark.parametrize(
    "between",
    [
        lambda m, x: x - x.mean(-1, keepdim=True),
        lambda m, x: x.softmax(-1),
        lambda m, x: F.layer_norm(x, (8,)),
        lambda m, x: x * m.scales,
        lambda m, x: x + torch.arange(8),
        lambda m, x: x.cumsum(-1),  # an operator that has no rule
        lambda m, x: x.sort(-1).values,
        lambda m, x: x @ torch.ones(8, 8),
        lambda m, x: torch.zeros_like(x).copy_(x),
    ],
)
def test_channels_that_meet_stay(between: Callable[[Any, Tensor], Tensor]) -> None:
    assert taken(lambda m, x: m.last(between(m, m.first(x))), ROWS, **ends())[0] == {}


def test_channels_that_meet_in_pairs_go_in_pairs() -> None:
    compute = lambda m, x: m.last((y := m.first(x)) + y.view(5, 2, -1).flip(1).flatten(1))  # noqa: E731
    assert taken(compute, ROWS, **ends()) == ({"first": 4}, {})


def test_a_layer_whose_weight_is_read_from_outside_stays() -> None:
    compute = lambda m, x: m.last(m.first(x)) + F.linear(x, m.first.weight).mean(1, keepdim=True)  # noqa: E731
    assert taken(compute, ROWS, **ends()) == (WHOLE, {})


def test_a_channel_that_is_picked_by_its_place_stays_by_what_comes_out() -> None:
    compute = lambda m, x: m.last(m.first(x)) + m.first(x)[:, 2:3] + m.first(x)[:, 7:8]  # noqa: E731
    counts, whole = taken(compute, ROWS, **ends())
    assert counts == {}
    assert list(whole) == ["first"]


def test_a_weight_of_two_layers_stays() -> None:
    parts = ends() | {"middle": nn.Linear(8, 8), "twin": nn.Linear(8, 8)}
    parts["twin"].weight = parts["middle"].weight
    compute = lambda m, x: m.last(m.twin(m.middle(m.first(x)).relu()))  # noqa: E731
    assert taken(compute, ROWS, **parts) == (WHOLE, {})


def test_a_weight_that_is_computed_stays() -> None:
    parts = ends()
    nn.utils.parametrizations.weight_norm(parts["first"])
    assert taken(lambda m, x: m.last(F.gelu(m.first(x))), ROWS, **parts) == (WHOLE, {})


def test_the_width_of_an_encoder_stays() -> None:
    assert taken(lambda m, x: m.first(x).relu(), ROWS, first=nn.Linear(6, 3)) == (WHOLE, {})
