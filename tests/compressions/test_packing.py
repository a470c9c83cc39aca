"""Weights that are mostly zero take less in a file, and come back to the bit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fusion.compressions.packing import pack, unpack


def layer(zeros: int) -> nn.Linear:
    torch.manual_seed(0)
    linear = nn.Linear(11, 7)
    with torch.no_grad():
        linear.weight.view(-1)[torch.randperm(77)[:zeros]] = 0
    return linear


@pytest.mark.parametrize("zeros", [0, 30, 76, 77])
def test_a_file_brings_the_same_bits_back(zeros: int, tmp_path: Path) -> None:
    net = nn.Sequential(layer(zeros))
    pack(net[0], "weight")
    save_file(net.state_dict(), tmp_path / "net")
    saved = load_file(tmp_path / "net")
    assert {name: tuple(value.shape) for name, value in saved.items()} == {
        "0.bias": (7,),
        "0.weight_values": (77 - zeros,),
        "0.weight_bits": (10,),  # 77 bits
    }
    fresh = nn.Sequential(nn.Linear(11, 7))
    pack(fresh[0], "weight")
    fresh.load_state_dict(saved)
    assert torch.equal(fresh[0].weight, net[0].weight)
    fresh.load_state_dict(
        {"0.weight": torch.ones(7, 11), "0.bias": torch.zeros(7)}
    )  # a whole one is taken too
    assert fresh[0].weight.sum() == 77


def test_by_hand() -> None:
    linear = nn.Linear(3, 3, bias=False)
    linear.weight.data = torch.tensor([[0.0, 5.0, 0.0], [0.0, 0.0, -2.0], [0.0, 0.0, 7.0]])
    pack(linear, "weight")
    state = linear.state_dict()
    assert state["weight_values"].tolist() == [5, -2, 7]
    assert state["weight_bits"].tolist() == [0b01000100, 0b10000000]


@pytest.mark.parametrize(
    "bits", [[0b01000100], [0b01000100, 0b00000000], [0b01000100, 0b01000000], [0b01000101, 0b10000000]]
)
def test_bits_that_do_not_fit_are_refused(bits: list[int]) -> None:
    linear = nn.Linear(3, 3, bias=False)
    pack(linear, "weight")
    damaged = {"weight_values": torch.ones(3), "weight_bits": torch.tensor(bits, dtype=torch.uint8)}
    with pytest.raises(RuntimeError, match=r"weight: 3 numbers and their bits do not make \(3, 3\)"):
        linear.load_state_dict(damaged)


def test_it_can_be_undone() -> None:
    linear = layer(70)
    pack(linear, "weight")
    unpack(linear)
    assert linear.state_dict().keys() == {"weight", "bias"}


def test_a_weight_that_has_another_form_by_then_is_left_alone() -> None:
    linear = layer(70)
    pack(linear, "weight")
    nn.utils.parametrizations.weight_norm(linear)
    assert "weight_values" not in linear.state_dict()
