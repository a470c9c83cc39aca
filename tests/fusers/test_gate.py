import math

import torch

from fusion.fusers.gate import Gate
from tests.fusers.toys import literal

NAMES = ("image", "text", "audio")


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_gates_and_features_by_hand() -> None:
    gate = Gate(NAMES, 1)
    with torch.no_grad():
        for name, weight, row in [
            ("image", 2.0, [1, 2, 3]),
            ("text", -1.0, [0, 1, 0]),
            ("audio", 1.0, [-1, 0, 1]),
        ]:
            gate.feature[name].weight.copy_(torch.tensor([[weight]]))
            gate.gate[name].weight.copy_(torch.tensor([row]))
    fused = gate(literal(image=[[1.0], [1.0]], text=[[-1.0], [-1.0]], audio=[[0.5], None]))
    everything = (
        sigmoid(1 - 2 + 1.5) * math.tanh(2) + sigmoid(-1) * math.tanh(1) + sigmoid(-1 + 0.5) * math.tanh(0.5)
    )
    without_audio = sigmoid(1 - 2) * math.tanh(2) + sigmoid(-1) * math.tanh(1)
    torch.testing.assert_close(fused, torch.tensor([[everything], [without_audio]]))


def test_the_gates_of_an_absent_modality_are_exactly_zero() -> None:
    gates = Gate(NAMES, 2).weigh(
        literal(image=[[1.0, 0.0], None], text=[None, [0.0, 1.0]], audio=[[0.6, 0.8], None])
    )
    shut = {name: (gate == 0).all(dim=1).tolist() for name, gate in gates.items()}
    assert shut == {"image": [False, True], "text": [True, False], "audio": [False, True]}
    assert all(((gate >= 0) & (gate < 1)).all() for gate in gates.values())


def test_a_row_with_nothing_is_zeros() -> None:
    fused = Gate(NAMES, 2)(literal(image=[None, [1.0, 0.0]], text=[None, None], audio=[None, None]))
    assert fused[0].tolist() == [0.0, 0.0]


def test_shares_are_what_gates_let_through_of_all_that_is_let_through() -> None:
    gate = Gate(NAMES, 1)
    with torch.no_grad():
        for name, row in [("image", [1, 2, 3]), ("text", [0, 1, 0]), ("audio", [-1, 0, 1])]:
            gate.gate[name].weight.copy_(torch.tensor([row]))
    rows = literal(image=[[1.0], [1.0], None], text=[[-1.0], [-1.0], None], audio=[[0.5], None, None])
    with torch.no_grad():
        shares = gate.shares(rows)
    opened = [sigmoid(1 - 2 + 1.5), sigmoid(-1), sigmoid(-1 + 0.5)]
    two = [sigmoid(1 - 2), sigmoid(-1)]
    expected = [[part / sum(opened) for part in opened], [*(part / sum(two) for part in two), 0.0], [0.0] * 3]
    torch.testing.assert_close(shares, torch.tensor(expected))
