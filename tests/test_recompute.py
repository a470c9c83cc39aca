"""Blocks that are computed again in the backward: the same gradient to the bit, in less memory."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion import Encoder, Encoding, Registry, read_recipe
from fusion.build import build_model
from fusion.recompute import recompute, unmoved
from fusion.training.memory import weighed


class Block(nn.Module):
    """Eight numbers in, eight out, and 32 in between."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm, self.down = nn.Linear(8, 32), nn.BatchNorm1d(32), nn.Linear(32, 8)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor, *, scale: float = 1.0) -> Tensor:
        return x + scale * self.down(self.drop(self.norm(self.up(x)).relu()))


class Stack(Encoder):
    def __init__(self, layers: int = 4) -> None:
        super().__init__()
        self.dim = 8
        self.stem = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        self.blocks = nn.ModuleList(Block() for _ in range(layers))  # a name that is no method of Encoder

    def forward(self, x: Tensor) -> Encoding:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, scale=0.5)
        return Encoding(x)


class Flat(Encoder):
    """Without lists of composed modules."""

    def __init__(self) -> None:
        super().__init__()
        self.dim = 8
        self.layers = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 8))

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(self.layers(x))


X = torch.linspace(-1, 1, 48).reshape(6, 8).sin()


def step(encoder: Encoder) -> tuple[int, dict[str, Tensor], dict[str, Tensor]]:
    """Return the bytes that the graph holds, the gradients, and the state after it."""
    torch.manual_seed(3)
    own = {part.untyped_storage().data_ptr() for part in encoder.parameters()}
    with weighed(own, torch.device("cpu")) as held:
        loss = encoder(X).pooled.square().sum()
    loss.backward()
    return held[0], {name: part.grad for name, part in encoder.named_parameters()}, encoder.state_dict()


def made(build: Callable[[], Encoder]) -> Encoder:
    torch.manual_seed(0)
    return build()


@pytest.mark.parametrize("build", [Stack, Flat])
def test_gradients_and_running_statistics_are_the_same_to_the_bit(build: Callable[[], Encoder]) -> None:
    plain, again = made(build), made(build)
    recompute(again)
    more, *expected = step(plain)
    less, *got = step(again)
    assert less < more / 2
    for one, other in zip(expected, got, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert len(expected[0]) > 3


def test_blocks_are_the_layers_or_else_the_whole_encoder() -> None:
    stack, flat = Stack(3), Flat()
    assert stack.recompute_blocks() == list(stack.blocks)
    assert flat.recompute_blocks() == [flat]


def test_the_innermost_layers_are_the_blocks() -> None:
    class Nested(Flat):
        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.Sequential(
                nn.Sequential(Block(), Block()), nn.Sequential(nn.Conv1d(1, 1, 1), Block())
            )

    nested = Nested()
    assert nested.recompute_blocks() == [nested.stages[0][0], nested.stages[0][1], nested.stages[1][1]]


def test_without_a_gradient_nothing_is_prepared_and_a_copy_is_its_own() -> None:
    encoder = made(Stack).eval()
    with torch.no_grad():
        expected = encoder(X).pooled
        recompute(encoder)
        assert torch.equal(encoder(X).pooled, expected)
        other = copy.deepcopy(encoder)
        nn.init.zeros_(other.blocks[0].down.weight)
        assert not torch.equal(other(X).pooled, expected)
        assert torch.equal(encoder(X).pooled, expected)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_statistics_can_be_held(momentum: float | None) -> None:
    norm = nn.BatchNorm1d(8, momentum=momentum)
    norm(X)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    with unmoved(norm):
        norm(3 * X)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    norm(3 * X)
    assert norm.num_batches_tracked == 2
    assert not torch.equal(norm.running_mean, before["running_mean"])


@pytest.mark.parametrize(
    ("overrides", "expected"), [([], False), (["encoders.text.tune.recompute=true"], True)]
)
def test_a_recipe_says_which_encoder_does(overrides: list[str], expected: bool, registry: Registry) -> None:
    small: list[str] = ["encoders.image.size=16", "width=8", *overrides]
    model: Any = build_model(read_recipe("bind_digits", small, registry), registry)
    assert ["forward" in vars(layer) for layer in model.encoders["text"].layers] == [expected, expected]
    assert not any("forward" in vars(part) for part in model.encoders["image"].modules())
