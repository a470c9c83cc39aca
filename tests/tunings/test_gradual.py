"""Gradual unfreezing: which layers learn at which step, from the output to the input."""

import pytest
import torch
from torch import nn

from fusion import Encoder
from fusion.tunings.gradual import Gradual


def learning(encoder: Encoder) -> str:
    """Return the layers that learn: "CD" for the last two of four."""
    assert isinstance(encoder.body, nn.Sequential)
    return "".join(
        letter
        for letter, layer in zip("ABCD", encoder.body, strict=True)
        if all(parameter.requires_grad for parameter in layer.parameters())
    )


@pytest.mark.parametrize(
    ("options", "learns"),
    [
        # of ten steps: none before step 2, then one more every second step
        ({"start": 0.2, "end": 1.0}, ["", "", "D", "D", "CD", "CD", "BCD", "BCD", "ABCD", "ABCD"]),
        ({"start": 0.0, "end": 4}, ["D", "CD", "BCD", "ABCD", *["ABCD"] * 6]),
        ({"start": 3, "end": 7, "last": 2}, ["", "", "", "D", "D", "CD", "CD", "CD", "CD", "CD"]),
        ({"start": 0.5, "end": 0.5}, [*[""] * 5, *["ABCD"] * 5]),
        ({"start": 0.0, "end": 0.0, "last": 1}, ["D"] * 10),
        ({"start": 1, "end": 2}, ["", "D", *["ABCD"] * 8]),  # 1 is a step, and 1.0 the whole training
        ({"start": 1.0, "end": 1.0}, [""] * 10),
    ],
)
def test_layers_are_unfrozen_from_the_last_to_the_first(
    options: dict[str, float], learns: list[str], four_layers: Encoder
) -> None:
    gradual = Gradual(**options)  # type: ignore[arg-type]
    gradual.prepare(four_layers)
    found = []
    for step in range(10):
        gradual.start_step(four_layers, step, 10)
        found.append(learning(four_layers))
    assert found == learns


def test_prepare_marks_the_layers_that_ever_learn(four_layers: Encoder) -> None:
    Gradual(last=3).prepare(four_layers)
    assert learning(four_layers) == "BCD"


def test_what_the_encoder_keeps_fixed_is_no_layer(four_layers: Encoder) -> None:
    body = four_layers.body
    assert isinstance(body, nn.Sequential)
    body[3].requires_grad_(False)
    gradual = Gradual(start=0, end=3)
    gradual.prepare(four_layers)
    gradual.start_step(four_layers, 0, 10)
    assert learning(four_layers) == "C"
    gradual.start_step(four_layers, 9, 10)
    assert learning(four_layers) == "ABC"


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match=r"start \(0\.5\) is after end \(0\.2\)"):
        Gradual(start=0.5, end=0.2)
    with pytest.raises(ValueError, match=r"start \(50\) is after end \(20\)"):
        Gradual(start=50, end=20)


@pytest.mark.parametrize(("start", "end"), [(1, 0.5), (0.9, 5), (50, 1.0)])
def test_steps_and_shares_are_not_mixed(start: float, end: float) -> None:
    with pytest.raises(ValueError, match=r"are a step and a share; give two of a kind"):
        Gradual(start=start, end=end)


def test_an_encoder_without_anything_to_unfreeze_is_refused(four_layers: Encoder) -> None:
    four_layers.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter that could be unfrozen; use mode: frozen"):
        Gradual().prepare(four_layers)


def test_no_gradient_is_computed_below_the_layers_that_learn(four_layers: Encoder) -> None:
    gradual = Gradual(start=0, end=1.0)
    gradual.prepare(four_layers)
    gradual.start_step(four_layers, 0, 4)
    four_layers(torch.ones(2, 3)).pooled.sum().backward()
    having = [name for name, parameter in four_layers.named_parameters() if parameter.grad is not None]
    assert having == ["body.3.weight", "body.3.bias"]
