"""Encoders of tables, series, features and films, beside their papers' forward written out row by row."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fusion_features.encoder import Features
from fusion_scratch.image import ScratchImage
from fusion_tabular.encoder import FTTransformer
from fusion_timeseries.encoder import PatchTST
from fusion_video.encoder import Video
from numpy.typing import NDArray
from torch import Tensor, nn

from fusion import Encoder

NAN = float("nan")


def shaken(encoder: Encoder) -> Encoder:
    """Give random values to every parameter, so that none of them is left out by chance."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return encoder.eval()


def together(encoder: Encoder, raws: list[Any]) -> Tensor:
    """Return the vectors of a batch, in which lengths differ."""
    with torch.no_grad():
        pooled: Tensor = encoder(
            **encoder.processor.collate([encoder.processor.decode(raw) for raw in raws])
        ).pooled
    return pooled


def attention(x: Tensor, layer: Any) -> Tensor:
    """Multi-head self-attention over tokens (t, d), head by head (Vaswani et al. 2017, eq. 1)."""
    query, key, value = (x @ layer.query_key_value.weight.T + layer.query_key_value.bias).chunk(3, dim=1)
    heads = [
        torch.softmax(q @ k.T / layer.size**0.5, dim=1) @ v
        for q, k, v in zip(*(part.split(layer.size, dim=1) for part in (query, key, value)), strict=True)
    ]
    return layer.out(torch.cat(heads, dim=1))  # type: ignore[no-any-return]


def transformed(x: Tensor, layers: Any) -> Tensor:
    """Layers with a norm before attention and before the two linear maps (Xiong et al. 2020)."""
    for layer in layers:
        x = x + attention(layer.attention_norm(x), layer)
        x = x + layer.mix(layer.mix_norm(x))
    return x


def test_the_vector_of_a_table_is_its_cls_token() -> None:
    """Gorishniy et al. 2021, section 3.3: [CLS; tokens], a norm first but for the first attention, ReGLU."""
    encoder = shaken(
        FTTransformer(
            numeric={"age": (40.0, 10.0), "fare": (1.0, 2.0)},
            categories={"port": ["A", "B"]},
            dim=8,
            heads=2,
            layers=3,
        )
    )
    assert isinstance(encoder, FTTransformer)
    rows = [
        {"age": 55, "fare": None, "port": "B"},
        {"age": 20, "fare": 4.0, "port": "never seen"},
        {"port": "A"},
    ]
    made = encoder.tokenizer
    embedded = made.embedding.weight  # unknown, A, B
    tokens = [
        [1.5 * made.weight[0], made.missing[1], embedded[2]],
        [-2.0 * made.weight[0], 1.5 * made.weight[1], embedded[0]],
        [made.missing[0], made.missing[1], embedded[1]],
    ]
    found = together(encoder, rows)
    for row, three in enumerate(tokens):
        x = torch.cat([encoder.cls[None], torch.stack(three) + made.bias])
        for place, block in enumerate(encoder.blocks):
            x = x + attention(
                x if place == 0 else F.layer_norm(x, (8,), *vars_of(block.attention_norm)), block
            )
            one, two = block.widen(F.layer_norm(x, (8,), *vars_of(block.mix_norm))).chunk(2, dim=1)
            x = x + block.narrow(F.relu(one) * two)
        torch.testing.assert_close(found[row], encoder.norm(x)[0], atol=1e-5, rtol=1e-5)


def vars_of(norm: Any) -> tuple[Tensor, Tensor]:
    return norm.weight, norm.bias


@pytest.mark.parametrize(("patch", "stride"), [(4, 2), (4, 4), (3, 1)])
def test_a_series_is_normalised_cut_and_read_channel_by_channel(patch: int, stride: int) -> None:
    """Nie et al. 2023, section 3.1, in numpy and a loop, for each series and channel without any padding."""
    encoder = shaken(PatchTST(channels=2, patch=patch, stride=stride, dim=8, heads=2, layers=2))
    assert isinstance(encoder, PatchTST)
    rng = np.random.default_rng(0)
    raws = [50 + 3 * rng.standard_normal((length, 2)) for length in (3, 4, 5, 11, 26)]
    raws[3][2:9, 0] = NAN
    raws[4][:, 1] = NAN
    found = together(encoder, raws)
    for row, series in enumerate(raws):
        means = [channel_mean(encoder, series[:, channel], patch, stride) for channel in range(2)]
        torch.testing.assert_close(found[row], encoder.mix(torch.cat(means)), atol=1e-5, rtol=1e-5)


def channel_mean(encoder: PatchTST, series: NDArray[np.float64], patch: int, stride: int) -> Tensor:
    if np.isnan(series).all():
        return torch.zeros(8)
    scaled = np.nan_to_num((series - np.nanmean(series)) / np.nanstd(series))
    tokens = []
    for number, start in enumerate(range(0, max(1, len(series) - patch + stride), stride)):
        points = series[start : start + patch]
        if not np.isnan(points).all():
            whole = np.zeros(patch)
            whole[: len(points)] = scaled[start : start + patch]
            tokens.append(encoder.project(torch.from_numpy(whole).float()) + encoder.places[number])
    return encoder.norm(transformed(torch.stack(tokens), encoder.layers)).mean(0)


def test_a_film_is_its_frames_in_their_order_and_no_more() -> None:
    encoder = shaken(Video(frames=ScratchImage(size=16, dim=8), count=4, layers=2, heads=2))
    assert isinstance(encoder, Video)
    films = [np.random.default_rng(t).integers(0, 256, (t, 20, 20, 3), np.uint8) for t in (1, 4, 2)]
    found, image = together(encoder, films), encoder.frames
    for row, film in enumerate(films):
        alone = torch.cat([together(image, [frame]) for frame in film])
        x = encoder.norm(transformed(alone + encoder.places[: len(film)], encoder.layers))
        torch.testing.assert_close(found[row], x.mean(0), atol=1e-5, rtol=1e-5)


def test_features_are_scaled_mapped_and_read_in_their_order() -> None:
    encoder = shaken(Features(mean=[1.0, 2.0], std=[2.0, 4.0], dim=8, heads=2, layers=2))
    assert isinstance(encoder, Features)
    raws = [np.random.default_rng(t).standard_normal((t, 2)) for t in (5, 1, 3)]
    found = together(encoder, raws)
    first, second = (part for part in encoder.first if isinstance(part, nn.Linear))
    for row, raw in enumerate(raws):
        x = torch.from_numpy((raw - [1.0, 2.0]) / [2.0, 4.0]).float()
        x = second(F.gelu(first(x))) + encoder.places[: len(raw)]
        expected = encoder.norm(transformed(x, encoder.layers)).mean(0)
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-5)
