"""Channels and heads of three modalities are taken for good, the least important first."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fusion import Encoder, Model, Registry
from fusion.compressions.prune_structured import PruneStructured
from fusion.testing.trial_model import trial_batch, trial_model

REGISTRY = Registry()


def pruned(model: Model, **options: Any) -> dict[str, Any]:
    pruning = PruneStructured(**options)
    pruning.observe(model.eval(), [trial_batch()])
    return pruning.apply(model)


@torch.no_grad()
def outputs(model: Model) -> list[Tensor]:
    batch = trial_batch()
    embeddings = model.embed(batch)
    return [*embeddings.pooled.values(), model.fuse(embeddings, batch.shown)]


def test_every_layer_of_three_modalities_loses_its_share() -> None:
    model = trial_model(0)
    assert pruned(model, sparsity=0.75)["left"] == {
        "encoders.image.first": [2, 8],
        "encoders.image.second.0": [4, 16],
        "encoders.text.layer.self_attn": [1, 4],
        "encoders.text.layer.linear1": [16, 64],
        "encoders.audio.net.0": [4, 16],
        "encoders.audio.body.0": [16, 64],
    }
    assert tuple(model.encoders["audio"].body[0].weight.shape) == (16, 4)
    assert model.encoders["audio"].body[0].in_features == 4
    assert tuple(model.encoders["text"].layer.self_attn.in_proj_weight.shape) == (24, 32)
    assert model.encoders["image"].norm.num_features == len(model.encoders["image"].norm.running_var) == 2


def test_channels_and_heads_that_are_zero_go_first_and_nothing_changes() -> None:
    model = trial_model(0).eval()
    image, text, audio = model.encoders.values()
    with torch.no_grad():
        for part in (image.first.weight, image.first.bias, image.norm.weight, image.norm.bias):
            part[:4] = 0
        image.second[0].weight[:, :4] = 0
        for part in (
            image.second[0].weight,
            image.second[0].bias,
            image.second[1].weight,
            image.second[1].bias,
        ):
            part[8:] = 0
        image.head.weight[:, 8:] = 0
        for head in (1, 3):
            for block in range(3):
                rows = slice(32 * block + 8 * head, 32 * block + 8 * head + 8)
                text.layer.self_attn.in_proj_weight[rows] = 0
            text.layer.self_attn.out_proj.weight[:, 8 * head : 8 * head + 8] = 0
        text.layer.linear1.weight[::2], text.layer.linear1.bias[::2], text.layer.linear2.weight[:, ::2] = (
            0,
            0,
            0,
        )
        audio.net[0].weight[:8], audio.net[0].bias[:8], audio.body[0].weight[:, :8] = 0, 0, 0
        audio.body[0].weight[32:], audio.body[0].bias[32:], audio.body[3].weight[:, 32:] = 0, 0, 0
    before, count = outputs(model), sum(part.numel() for part in model.encoders.parameters())
    pruned(model)
    assert sum(part.numel() for part in model.encoders.parameters()) < 0.65 * count
    for one, other in zip(before, outputs(model), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def two_layers() -> tuple[Model, nn.Linear, nn.Linear]:
    """Return a model whose audio has four hidden channels: 3, 4, 0 and 5 in all, squared 9, 8, 0 and 13."""
    model = trial_model(0).eval()
    body = model.encoders["audio"].body
    body[0], body[3] = nn.Linear(16, 4), nn.Linear(4, 32)
    with torch.no_grad():
        for part in body.parameters():
            part.zero_()
        body[0].weight[0, 0] = 3
        body[0].weight[1, 0] = 2
        body[3].weight[5, 1] = -2
        body[0].bias[3] = -2
        body[3].weight[31, 3] = 3
    return model, body[0], body[3]


def test_of_all_layers_together_the_least_go_as_shares_of_the_mean_of_their_layer() -> None:
    """Of four hidden channels, 3, 4, 0 and 5, mean 3; of sixteen below them, 13 and fifteen times 8.

    Ten of these twenty go: the 0, and nine of the fifteen, which are 0.96 of their mean; the 3 is all of its.
    """
    model, first, _ = two_layers()
    conv = model.encoders["audio"].net[0]
    with torch.no_grad():
        conv.bias.zero_()
        conv.weight.fill_(0.4)  # of 4 channels, 5 wide
    skip = ["encoders.image", "encoders.text"]
    record = pruned(model, importance="abs", scope="global", skip=skip)
    assert record["left"] == {"encoders.audio.net.0": [7, 16], "encoders.audio.body.0": [3, 4]}
    assert first.bias.tolist() == [0, 0, -2]
    assert first.weight[:, 0].tolist() == [3, 2, 0]  # the 13 is the first of those below


def test_by_taylor_layers_are_compared_as_they_are() -> None:
    model, pruning = trial_model(0).eval(), PruneStructured(importance="taylor", scope="global", sparsity=0.6)
    pruning.observe(model, [trial_batch()])
    sizes = {
        f"encoders.{name}.{family.name}": found.importance[family.classes].tolist()
        for name, found in pruning._found.items()
        for family in found.families
    }
    every = [(size, layer) for layer, some in sizes.items() for size in some if size < max(some)]
    went = [layer for _, layer in sorted(every)[: round(0.6 * sum(map(len, sizes.values())))]]
    left = pruning.apply(model)["left"]
    assert left == {layer: [len(some) - went.count(layer), len(some)] for layer, some in sizes.items()}
    assert len({some / of for some, of in left.values()}) > 3  # layers lose different shares


@pytest.mark.parametrize(("importance", "left"), [("abs", [1, 3]), ("square", [0, 3])])
def test_importance_is_the_norm_of_all_parameters_of_a_channel(importance: Any, left: list[int]) -> None:
    model, first, last = two_layers()
    before = first.weight.detach().clone(), first.bias.detach().clone(), last.weight.detach().clone()
    pruned(model, importance=importance)
    assert torch.equal(first.weight[:, :1], before[0][left, :1])
    assert torch.equal(first.bias, before[1][left])
    assert torch.equal(last.weight, before[2][:, left])


def test_the_importance_by_taylor_is_that_of_the_gradient() -> None:
    model = trial_model(0).eval()
    audio = model.encoders["audio"]
    model(trial_batch()).total.backward()
    parts = [audio.body[0].weight, audio.body[0].bias, audio.body[3].weight.T]
    grads = [audio.body[0].weight.grad, audio.body[0].bias.grad, audio.body[3].weight.grad.T]
    sums = sum((part * grad).reshape(64, -1).sum(1) for part, grad in zip(parts, grads, strict=True))
    model.zero_grad()
    kept = sums.square().argsort(descending=True)[:32].sort().values
    bias = audio.body[0].bias.detach()[kept]
    pruned(model, importance="taylor")
    assert torch.equal(audio.body[0].bias, bias)
    assert all(part.requires_grad and part.grad is None for part in model.parameters())


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_layer_keeps_one(scope: Any) -> None:
    assert {left for left, _ in pruned(trial_model(0), sparsity=0.999, scope=scope)["left"].values()} == {1}


def test_what_is_skipped_stays_whole_and_is_listed() -> None:
    record = pruned(trial_model(0), skip=["encoders.text", "encoders.image.second"])
    assert list(record["left"]) == ["encoders.audio.net.0", "encoders.audio.body.0"]
    assert record["whole"]["encoders.text.layer.linear1"] == "it is skipped"
    assert record["whole"]["encoders.image.first"] == "it is skipped"  # its channels end in what is


def test_a_training_before_begins_without_what_goes() -> None:
    model, pruning = trial_model(0), PruneStructured()
    pruning.observe(model, [trial_batch()])
    assert model.training
    pruning.prepare(model, 0, 2)
    shapes = {name: part.shape for name, part in model.named_parameters()}
    pruning.prepare(model, 0, 2)
    model(trial_batch()).total.backward()
    pruning.prepare(model, 1, 2)
    record = pruning.apply(model.eval())
    assert {name: part.shape for name, part in model.named_parameters()} == shapes
    assert record["left"]["encoders.image.first"] == [4, 8]


class Narrow(nn.Sequential):
    """Gives up where two layers together are too narrow."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] + len(self[0].weight) < 79:
            raise IndexError("too narrow")
        out: Tensor = super().forward(x)
        return out


def test_what_can_only_go_alone_is_refused_together() -> None:
    model = trial_model(0).eval()
    model.encoders["audio"].body = Narrow(*model.encoders["audio"].body)
    with pytest.raises(
        ValueError, match=r"audio without all that is to go does not run: too narrow; name some"
    ):
        pruned(model)
    pruned(trial_model(0), skip=["encoders.audio.body"])


def test_without_rows_there_is_nothing_to_follow() -> None:
    with pytest.raises(
        ValueError, match="no channel or head can be taken; encoders that were looked at: none"
    ):
        PruneStructured().apply(trial_model(0).eval())


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        (
            {"shapes": {"encoders.audio.body.0.weight": [99, 16]}},
            ValueError,
            r"cannot be \[99, 16\]; it is \(64, 16\)",
        ),
        ({"shapes": {"encoders.audio.body.0.weight": [16]}}, ValueError, r"cannot be \[16\]"),
        ({"shapes": {"encoders.audio.nobody.weight": [1]}}, KeyError, "nobody"),
        ({"numbers": {"encoders.text": {"dim": 64}}}, ValueError, r"encoders.text.dim cannot be 64"),
        ({"numbers": {"encoders.text": {"training": 1}}}, ValueError, r"encoders.text.training cannot be 1"),
        ({"numbers": {"encoders.text": {"odd": 1}}}, ValueError, r"encoders.text.odd cannot be 1"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(changes: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        PruneStructured().restore(trial_model(0), {"shapes": {}, "numbers": {}, **changes})


RAW: dict[str, list[Any]] = {
    "image": [
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8))
        for seed in range(2)
    ],
    "text": ["the digit seven", "one"],
    "audio": [
        (np.random.default_rng(seed).standard_normal(8000).astype(np.float32) / 5, 8000) for seed in range(2)
    ],
}
TOWERS = {
    # name, its options: which share of its parameters is left at half of the channels and heads, at most
    ("scratch-image", ""): 0.42,
    ("scratch-text", ""): 0.86,
    ("scratch-audio", ""): 0.43,
    ("timm-image", "test_vit"): 0.60,
    ("timm-image", "test_resnet"): 0.33,
    ("timm-image", "test_efficientnet"): 0.33,
    ("timm-image", "test_convnext"): 0.62,
    ("openclip-image", ""): 0.85,
    ("openclip-text", ""): 0.999,  # nearly all of it are the words
    ("hf-text", ""): 0.71,
    ("hf-image", ""): 0.66,
    ("hf-audio", ""): 0.68,
}


def tower(name: str, model: str) -> tuple[Encoder, dict[str, Tensor]]:
    component = REGISTRY.find("encoder", name).component
    torch.manual_seed(0)
    encoder = component.resolve()(**{**component.tiny, **({"model": model} if model else {})}).eval()
    for part in encoder.parameters():
        part.data.add_(torch.randn_like(part) / 10)
    processor = encoder.processor
    return encoder, processor.collate([processor.decode(raw) for raw in RAW[str(component.modality)]])


@pytest.mark.parametrize(("name", "model"), TOWERS, ids=lambda value: value or "tiny")
def test_towers_of_plugins_compute_what_they_do_with_zeros(name: str, model: str) -> None:
    from fusion.compressions.cut import cut, distance, mask, scale

    encoder, inputs = tower(name, model)

    def parts() -> Iterator[Tensor]:
        with torch.no_grad():
            pooled, tokens, real = encoder(**inputs)
        yield pooled
        if tokens is not None:
            yield tokens if real is None else tokens * real[..., None]

    found = PruneStructured()._find("encoders.it", encoder, inputs)
    before = {path: part.detach().clone() for path, part in encoder.named_parameters()}
    gone = torch.cat([family.classes[: len(family.classes) // 2] for family in found.families])
    mask(encoder, found.followed, gone)
    expected = list(parts())
    for path, part in encoder.named_parameters():
        part.data.copy_(before[path])
    for family in found.families:
        scale(encoder, family, len(family.classes) - len(family.classes) // 2)
    cut(encoder, found.followed, gone)
    assert distance(expected, list(parts())) < 1e-5
    left = sum(part.numel() for part in encoder.parameters()) / sum(part.numel() for part in before.values())
    assert TOWERS[name, model] - 0.03 < left < TOWERS[name, model]
