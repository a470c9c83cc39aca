"""BitFit: the biases learn, and nothing else."""

from collections.abc import Callable

import pytest
from torch import nn

from fusion import Encoder
from fusion.tunings.bitfit import Bitfit

Wrap = Callable[[nn.Module, int], Encoder]


def test_the_biases_of_every_module_learn(wrap: Wrap) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    layer.norm2.requires_grad_(False)
    encoder = wrap(nn.Sequential(layer, nn.Conv1d(8, 4, 1)), 4)
    Bitfit().prepare(encoder)
    assert [name for name, parameter in encoder.named_parameters() if parameter.requires_grad] == [
        "body.0.self_attn.in_proj_bias",
        "body.0.self_attn.out_proj.bias",
        "body.0.linear1.bias",
        "body.0.linear2.bias",
        "body.0.norm1.bias",  # the encoder keeps norm2 from learning
        "body.1.bias",
    ]


def test_an_encoder_without_biases_is_refused(wrap: Wrap) -> None:
    with pytest.raises(ValueError, match="the encoder has no biases; use mode: full, lora or frozen"):
        Bitfit().prepare(wrap(nn.Linear(4, 4, bias=False), 4))
