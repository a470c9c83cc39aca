"""Several compressions of one training: each finds what it needs, or says which has to come first."""

import pytest
import torch
from torch import Tensor, nn

from fusion import Compression, Model
from fusion.compressions.int8 import Int8
from fusion.compressions.low_rank import LowRank
from fusion.compressions.prune_magnitude import PruneMagnitude
from fusion.compressions.prune_structured import PruneStructured
from fusion.quantization.held import Held
from fusion.testing.trial_model import trial_batch, trial_model

ORDER = "weights, such as .*, are already masked or rounded: give first what changes shapes, then what masks"
LAYER = "encoders.audio.body.0"


@torch.no_grad()
def prepare(model: Model, *compressions: Compression) -> None:
    for compression in compressions:
        compression.observe(model, [trial_batch()])
        compression.prepare(model, 0, 2)


@torch.no_grad()
def vectors(model: Model) -> Tensor:
    batch = trial_batch()
    embeddings = model.eval().embed(batch)
    return torch.cat([*embeddings.pooled.values(), model.fuse(embeddings, batch.shown)])


def masked() -> PruneMagnitude:
    return PruneMagnitude(sparsity=0.5, ramp=0)


def rounded() -> Int8:
    return Int8(least=64, multiplied=128)


@torch.no_grad()
def test_masked_weights_are_rehearsed_as_integers() -> None:
    model, alone = trial_model(0), trial_model(0)
    first, second = masked(), rounded()
    prepare(model, first, second)
    prepare(alone, masked())
    layer = model.get_submodule(LAYER)
    assert isinstance(layer, Held)
    codes = layer.weight / (layer.weight.abs().amax(1, keepdim=True) / 127)
    assert torch.allclose(codes, codes.round(), atol=1e-3)
    assert int((layer.weight == 0).sum()) >= layer.weight.numel() // 2
    rehearsed, only_masked = vectors(model), vectors(alone)

    for compression in (second, first):
        compression.conclude(model)
    assert type(model.get_submodule(LAYER)) is nn.Linear
    assert torch.equal(vectors(model), only_masked)
    records = [compression.apply(model) for compression in (first, second)]
    assert f"{LAYER}.weight" in records[1]["weights"]
    final = vectors(model)
    near, far = ((other - final).norm(dim=1).median() for other in (rehearsed, only_masked))
    assert near < 1e-6 < 1e-3 < far  # a few activations are rounded to the other side


def test_gradients_reach_what_is_neither_masked_nor_only_rounded() -> None:
    model = trial_model(0)
    prepare(model, masked(), rounded())
    model(trial_batch()).total.backward()
    chain = model.get_submodule(LAYER).parametrizations["weight"]
    assert torch.equal(chain.original.grad != 0, chain[0].kept & (chain.original.grad != 0))
    assert int((chain.original.grad != 0).sum()) > 0


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (Int8(least=64), masked(), f"a weight that is rounded cannot be masked; .*{ORDER}"),
        (masked(), PruneStructured(), f"no channel or head can be taken; .*{ORDER}"),
        (masked(), LowRank(energy=0.5), f"no linear layer becomes smaller at energy=0.5; .*{ORDER}"),
        (Int8(least=64), LowRank(energy=0.5), f"no linear layer becomes smaller at energy=0.5; .*{ORDER}"),
    ],
)
def test_a_wrong_order_is_refused_before_the_training(
    first: Compression, second: Compression, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(trial_model(0), first, second)


def test_where_nothing_is_rounded_it_is_said_before_the_training() -> None:
    with pytest.raises(ValueError, match=r"no matrix has least=100000 numbers; lower it, or skip less$"):
        prepare(trial_model(0), Int8(least=100_000))
