"""The groups of an encoder's parameters, from the input to the output."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion import Encoder, Encoding, Processor, Registry
from fusion.testing.samples import tiny_encoder

REGISTRY = Registry()


class Raw(Processor):
    def decode(self, raw: Any) -> Any:
        return raw


class Bert(nn.Module):
    """Shaped like those of transformers: a list of blocks, deep inside, each with lists of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)) for _ in range(2))
        self.pooler = nn.Linear(4, 4)


class Tower(Encoder):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.dim, self.processor = 4, Raw()
        self.start = nn.Parameter(torch.zeros(1))
        self.body = body
        self.tied = next(body.parameters())

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(x)


def named(encoder: Encoder) -> list[list[str]]:
    names = {parameter: name for name, parameter in encoder.named_parameters()}
    return [[names[parameter] for parameter in group] for group in encoder.layer_groups()]


def test_each_element_of_a_list_is_a_group_and_a_parameter_stands_once() -> None:
    assert named(Tower(Bert())) == [
        ["start", "tied"],  # a module's own parameters come before its parts
        ["body.encoder.layer.0.0.weight", "body.encoder.layer.0.0.bias"],
        ["body.encoder.layer.0.1.weight", "body.encoder.layer.0.1.bias"],
        ["body.encoder.layer.1.0.weight", "body.encoder.layer.1.0.bias"],
        ["body.encoder.layer.1.1.weight", "body.encoder.layer.1.1.bias"],
        ["body.pooler.weight", "body.pooler.bias"],
    ]


def test_an_element_that_is_no_list_is_one_group() -> None:
    block = nn.ModuleDict({"attend": nn.Linear(4, 4), "mix": nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))})
    assert [len(group) for group in named(Tower(nn.Sequential(nn.Linear(4, 4), block)))] == [3, 6]


def test_a_normalisation_goes_with_the_layer_before_it() -> None:
    body = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 4), nn.LayerNorm(4))
    assert [len(group) for group in named(Tower(body))] == [5, 4]  # the first also has `start`


@pytest.mark.parametrize("name", REGISTRY.names("encoder"))
def test_every_encoder_has_several_groups_that_hold_every_parameter_once(name: str) -> None:
    encoder = tiny_encoder(REGISTRY.find("encoder", name), REGISTRY)
    groups = named(encoder)
    assert len(groups) >= 3
    assert sorted(name for group in groups for name in group) == sorted(
        name for name, _ in encoder.named_parameters()
    )
