"""Precomputed features: read, scaled as the training has them, padded; three modalities of them in one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fusion_features.encoder import Features
from fusion_features.reading import read
from fusion_features.scale import scale
from fusion_features.tones import Tones

from fusion import DataError, Recipe, Registry, load, train
from fusion.testing import check_encoder

PLAIN: dict[str, Any] = {"mean": [0.0, 0.0], "std": [1.0, 1.0], "dim": 8, "heads": 2}


def test_the_contract_holds_for_vectors_and_series_of_all_lengths() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal(shape) for shape in ((2,), (1, 2), (5, 2), (9, 2))]
    for layers in (0, 2):
        assert check_encoder(Features, samples, **PLAIN, layers=layers)


def test_a_vector_is_a_series_of_one_moment() -> None:
    assert read([1, 2]).tolist() == [[1.0, 2.0]]
    assert read(np.array([[1, 2], [3, 4]], np.int16)).dtype == np.float32


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("words", "no such file: words"),
        ([[1.0], [1.0, 2.0]], "numbers"),
        (np.zeros((2, 2, 2)), r"float64 of shape \(2, 2, 2\)"),
        (np.zeros((0, 3)), r"shape \(0, 3\)"),
        ([1.0, float("nan")], "NaN or infinity"),
        ([1e300, 0.0], r"a number that fp32 does not hold, 1e\+300"),
    ],
)
def test_what_is_no_feature_is_a_bad_row(raw: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(raw)


def test_another_width_than_that_of_the_training_is_a_bad_row() -> None:
    with pytest.raises(DataError, match=r"3 features in a vector; those of the training had 2"):
        Features(**PLAIN).processor.decode([1.0, 2.0, 3.0])


def test_a_feature_that_would_end_in_nan_is_a_bad_row() -> None:
    torch.manual_seed(0)
    encoder = Features(**PLAIN).eval()
    with pytest.raises(DataError, match=r"a feature is 1e\+16 deviations from the mean of the training"):
        encoder.processor.decode([1.0, -1e16])
    far = encoder.processor.collate([encoder.processor.decode([9e14, -9e14])])
    assert encoder(**far).pooled.isfinite().all()


def test_the_scale_is_that_of_all_moments_together() -> None:
    samples = [np.array([[1.0, 5.0], [3.0, 5.0]], np.float32), np.array([[8.0, 5.0]], np.float32)]
    found = scale(iter(samples))
    assert found is not None
    assert found.mean == [4.0, 5.0]
    assert found.std == [2.94392, 1.0]  # the root of (9 + 1 + 16) / 3; a constant is left as it is
    assert scale(iter([])) is None


def test_a_mean_far_from_zero_is_written_to_a_millionth_of_the_deviation() -> None:
    rows = 1_700_000_000 + np.array([[0.0], [2.0]])
    found = scale(iter(rows[:, None]))
    assert found == ([1_700_000_001.0], [1.0])


def test_a_small_deviation_beside_a_large_mean_is_not_lost() -> None:
    rows = (1e6 + np.arange(8)).astype(np.float32)[:, None]
    found = scale(iter(rows[:, None]))
    assert found is not None
    assert found.std == pytest.approx([np.arange(8).std()], rel=1e-5)


def test_decoding_takes_the_first_moments_and_scales_them() -> None:
    encoder = Features(mean=[1.0, 2.0], std=[2.0, 4.0], dim=8, heads=2, max_length=2)
    decoded = encoder.processor.decode([[1.0, 2.0], [3.0, 10.0], [9.0, 9.0]])
    assert decoded.tolist() == [[0.0, 0.0], [1.0, 2.0]]


def test_fitting_leaves_out_what_cannot_be_read_or_is_of_another_width() -> None:
    options: dict[str, Any] = {"mean": None, "std": None}
    found = Features.fit(["torn", [1.0, 3.0], [1.0], [3.0, 3.0]], options)
    assert found == {"mean": [2.0, 3.0], "std": [1.0, 1.0]}
    assert Features.fit(iter(()), options) == {}
    assert Features.fit([[1.0]], {"mean": [0.0], "std": [1.0]}) == {}


def test_options_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="none could be read"):
        Features()
    with pytest.raises(ValueError, match=r"same length, and dim \(8\) be divisible by heads \(3\)"):
        Features(mean=[0.0], std=[1.0], dim=8, heads=3)


def test_what_padding_holds_reaches_nothing() -> None:
    torch.manual_seed(0)
    encoder = Features(**PLAIN).eval()
    x, length = torch.randn(2, 5, 2), torch.tensor([5, 2])
    dirty = x.clone()
    dirty[1, 2:] = 1e6
    clean, other = encoder(x, length), encoder(dirty, length)
    assert torch.equal(clean.pooled, other.pooled)
    assert torch.equal(clean.tokens[clean.mask], other.tokens[other.mask])


def test_three_modalities_of_features_are_learned_with_any_of_them_absent(tmp_path: Path) -> None:
    names = ("audio", "video", "text")
    rows = {"name": "tones", "modalities": names}
    recipe = Recipe(
        sources={"all": rows | {"missing": 0.4}},
        encoders={name: {"name": "features", "dim": 16, "heads": 2, "dropout": 0.0} for name in names},
        width=16,
        fuser={"name": "gate", "modality_dropout": 0.3},
        objectives={"kind": {"name": "classify", "classes": 3}},
        train={"steps": 60, "batch": 32, "lr": 5e-3},
        evaluate={"sources": {"test": rows | {"split": "test", "rows": 150}}, "retrieval": []},
    )
    run = train(recipe, tmp_path / "run", registry=Registry())
    for given in ("audio", "video", "text", "audio+video", "audio+video+text"):
        assert run.metrics[f"subsets/{given}/accuracy"] > 0.7, given  # chance is a third
    assert [len(pick.options["mean"]) for pick in run.recipe.encoders.values()] == [4, 5, 6]
    seen = Tones(modalities=names, missing=0.4)
    found = scale(row["video"] for row in map(seen.__getitem__, range(300)) if "video" in row)
    assert found is not None
    assert run.recipe.encoders["video"].options["mean"] == found.mean
    row = {name: Tones(modalities=names)[0][name] for name in names}
    model, alone = load(run), {"text": row["text"]}
    assert model.predict([row, alone])["kind"].value.shape == (2,)
    assert torch.equal(model.encode(alone).fused, model.encode([row | {"audio": None, "video": None}]).fused)
