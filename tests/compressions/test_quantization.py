"""Models in integers: near the floats for every encoder, the same bits from disk, and back again."""

import copy
import math
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from fusion import Compression, Encoder, Model, Registry
from fusion.quantization.held import Held, matrices, rehearse, release
from fusion.quantization.nibbles import Nibbles
from fusion.quantization.rounding import Bytes, Form
from fusion.registry import Offer
from fusion.testing.samples import samples_of, tiny_encoder
from fusion.testing.trial_model import trial_batch, trial_model

REGISTRY = Registry()
TINY = {"least": 64, "multiplied": 128}
FORMS: dict[str, Form] = {"int8": Bytes(), "int4": Nibbles(32)}
ENCODERS = [offer for offer in REGISTRY if offer.kind == "encoder"]
both = pytest.mark.parametrize("name", FORMS)


def build(name: str, **options: Any) -> Compression:
    made = REGISTRY.find("compression", name).component.resolve()(**{**TINY, **options})
    return cast(Compression, made)


def samples(offer: Offer) -> list[Any]:
    rng = np.random.default_rng(0)
    match offer.component.modality:
        case "image":
            return [Image.fromarray(rng.integers(0, 255, (40, 30 + row, 3), np.uint8)) for row in range(4)]
        case "audio":
            return [(rng.normal(size=4000 + 1000 * row).astype(np.float32), 8000) for row in range(4)]
        case "text":
            return ["a red square", "seven", "the digit zero, written by hand", "Größe 8"]
        case other:
            return samples_of(str(other), offer.origin, REGISTRY)


@torch.no_grad()
def pooled(encoder: Encoder, offer: Offer) -> Tensor:
    processor = encoder.processor
    found: Tensor = encoder(**processor.collate([processor.decode(raw) for raw in samples(offer)])).pooled
    return found


@both
@pytest.mark.parametrize("offer", ENCODERS, ids=lambda offer: offer.component.name)
def test_vectors_of_every_encoder_are_near_those_of_floats(offer: Offer, name: str) -> None:
    """An element is off by 1 / 254 of the largest of its row in 8 bits at most, by 1 / 14 of its group in 4.

    Errors of a sum grow with its root as the sum does, so relative ones stay what they are, and add up over
    layers: some per cent of a vector's length in 8 bits, and eighteen times as much in 4. Tiny forms have
    matrices of 16 columns, over which little cancels; trained ones of usual width are nearer.
    """
    torch.manual_seed(0)
    encoder = tiny_encoder(offer, REGISTRY).eval()
    expected = pooled(encoder, offer)
    record = build(name).apply(encoder)
    assert len(record["weights"]) > 0
    found = pooled(encoder, offer)
    far = ((found - expected).norm(dim=1) / expected.norm(dim=1)).mean()
    assert 0 < far < {"int8": 0.03, "int4": 0.3}[name]


def test_encoders_of_three_modalities_and_all_plugins_are_looked_at() -> None:
    assert {offer.component.modality for offer in ENCODERS} >= {"image", "text", "audio"}
    assert len({offer.origin.plugin for offer in ENCODERS}) >= 4


@torch.no_grad()
def vectors(model: Model) -> dict[str, Tensor]:
    batch = trial_batch()
    embeddings = model.embed(batch)
    return {**embeddings.pooled, "fused": model.fuse(embeddings, batch.shown)}


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).norm(dim=1).max()) for name in one)


@both
def test_what_is_absent_changes_no_other_row(name: str) -> None:
    """Each row alone has the bits that it has among others, with any of three modalities absent."""
    model = trial_model(0).eval()
    build(name).apply(model)
    batch = trial_batch()
    with torch.no_grad():
        for modality, present in batch.present.items():
            x = batch.inputs[modality]["x"]
            assert not present.all()
            whole = model.encode(modality, {"x": x}).pooled
            alone = torch.cat(
                [model.encode(modality, {"x": x[row : row + 1]}).pooled for row in range(len(x))]
            )
            torch.testing.assert_close(whole, alone, rtol=1e-5, atol=1e-5)


@both
def test_matrices_that_are_skipped_or_small_stay(name: str) -> None:
    model = trial_model(0).eval()
    record = build(name, least=500, skip=("encoders.text", "fuser")).apply(model)
    weights = {f"{part}.{matrix}": module for part, module, matrix in matrices(trial_model(0), 500)}
    expected = [weight for weight in weights if not weight.startswith(("encoders.text.", "fuser."))]
    assert len(weights) > len(expected) > 0
    assert record == {"weights": expected}
    held = [part for part, module in model.named_modules() if isinstance(module, Held)]
    assert held == [weight.removesuffix(".weight") for weight in expected]


def test_a_module_to_skip_that_is_not_there_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"unknown module to skip 'encoders\.imgae'; did you mean 'encoders\.image'"
    ):
        build("int8", skip=("encoders.imgae",)).apply(trial_model(0))


def test_a_model_of_small_matrices_has_nothing_to_round() -> None:
    with pytest.raises(ValueError, match="no matrix has least=100000 numbers; lower it, or skip less"):
        build("int8", least=100_000).apply(trial_model(0))


@both
def test_a_matrix_that_is_not_finite_is_named(name: str) -> None:
    model = trial_model(0)
    with torch.no_grad():
        cast(nn.Linear, model.get_submodule("encoders.audio.body.0")).weight[3, 2] = math.inf
    with pytest.raises(ValueError, match=r"encoders\.audio\.body\.0\.weight: it holds NaN or infinity"):
        build(name).apply(model)


@both
def test_a_record_of_another_model_is_refused(name: str) -> None:
    with pytest.raises(KeyError, match=r"fuser\.other\.weight"):
        build(name).restore(trial_model(0), {"weights": ["fuser.other.weight"]})


@both
def test_pruned_zeros_stay_zeros(name: str) -> None:
    model = trial_model(0).eval()
    body = cast(nn.Linear, model.get_submodule("encoders.audio.body.0"))
    with torch.no_grad():
        body.weight[:, ::2] = 0
    build(name).apply(model)
    assert torch.equal(body.weight[:, ::2], torch.zeros(64, 8))
    assert body.weight[:, 1::2].ne(0).any(0).all()


@both
def test_a_model_that_learns_computes_what_the_compressed_one_will(name: str) -> None:
    model = trial_model(0).eval()
    plain = vectors(model)
    compression = build(name)
    for step in range(3):
        compression.prepare(model, step, 3)
    assert [name for name, _ in model.named_parameters()] == [
        name for name, _ in trial_model(0).named_parameters()
    ]
    learned = vectors(model)
    compression.apply(model)
    assert distance(learned, vectors(model)) < 0.01 < distance(learned, plain)


def test_learning_with_rounding_makes_up_for_the_rounding() -> None:
    """A layer that is right, and whose inputs come in fours that are alike, learns on in 4 bits."""
    random, form = torch.Generator().manual_seed(0), Nibbles(32)
    x = torch.randn(256, 8, generator=random).repeat(1, 4) + 0.1 * torch.randn(256, 32, generator=random)
    right = torch.randn(4, 32, generator=random)
    target, layer = x @ right.T, nn.Linear(32, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(right)
    rehearse(layer, "weight", form, 1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    losses = []
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / 200)
        optimizer.zero_grad()
        loss = F.mse_loss(layer(x), target)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    release(layer)
    assert losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        rounded = F.mse_loss(F.linear(x, form.rounded(layer.weight)), target)
    assert rounded < 0.5 * losses[0]


def test_a_copy_of_a_model_in_integers_is_one() -> None:
    model = trial_model(0).eval()
    build("int4").apply(model)
    again = copy.deepcopy(model)
    assert distance(vectors(again), vectors(model)) == 0
