"""Time series: patches and scales by hand, gaps, lengths that differ, and an absent modality beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fusion_timeseries.encoder import PatchTST
from fusion_timeseries.patches import cut, normalise, seen
from fusion_timeseries.reading import read

from fusion import DataError, Recipe, Registry, load, train
from fusion.testing import check_encoder

SMALL: dict[str, Any] = {"patch": 4, "stride": 2, "dim": 8, "heads": 2, "layers": 1}
NAN = float("nan")


def gappy(points: int, channels: int, seed: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    series = 100 + 5 * rng.standard_normal((points, channels))
    series[rng.random((points, channels)) < 0.2] = NAN
    return series


def test_the_contract_holds_for_all_lengths_with_gaps_and_lost_channels() -> None:
    lost = gappy(11, 2, 9)
    lost[:, 1] = NAN
    samples = [gappy(points, 2, points) for points in (1, 3, 4, 5, 6, 7, 8, 13)]
    assert check_encoder(PatchTST, [*samples, lost], channels=2, **SMALL)
    assert check_encoder(PatchTST, [np.arange(9.0), np.arange(2.0)], channels=1, **(SMALL | {"stride": 4}))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("words", "no such file: words"),
        ([[1.0], [1.0, 2.0]], "numbers"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.zeros(0), r"shape \(0,\)"),
        ([1.0, float("inf")], "infinity; NaN marks a point that is missing"),
        ([NAN, NAN], "no point of the series is known"),
    ],
)
def test_what_is_no_series_is_a_bad_row(raw: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(raw)


def test_other_channels_than_those_of_the_training_are_a_bad_row() -> None:
    processor = PatchTST(channels=2, **SMALL).processor
    with pytest.raises(DataError, match="3 channels; those of the training have 2"):
        processor.decode(np.zeros((5, 3)))
    late = np.full((9, 2), NAN)
    late[8] = 1.0
    with pytest.raises(DataError, match="none of the first 5 points is known"):
        PatchTST(channels=2, **SMALL, max_length=5).processor.decode(late)


def test_a_channel_has_its_own_scale_over_the_points_that_are_known() -> None:
    x = torch.tensor([[[1.0, 7.0], [5.0, 7.0], [99.0, 7.0], [3.0, 99.0]]])
    known = torch.tensor([[[True, True], [True, True], [False, True], [True, False]]])
    found = normalise(x, known)
    root = (8 / 3) ** 0.5  # of the variance of 1, 5 and 3; the other channel is constant
    expected = torch.tensor([[[-2 / root, 0.0], [2 / root, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_level_far_above_what_varies_is_not_lost() -> None:
    x = torch.tensor([0.0, 1.0, 2.0, 3.0])
    known = torch.ones(1, 4, 1, dtype=torch.bool)
    torch.testing.assert_close(
        normalise(x[None, :, None] + 1e5, known), normalise(x[None, :, None], known), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("size", [1e-20, 1e-5, 1.0, 1e25])
def test_volts_and_light_years_are_seen_alike(size: float) -> None:
    """Against numpy in double precision: nothing is added to the variance, and no square overflows."""
    x = np.random.default_rng(0).standard_normal((1, 50, 3)) * size
    known = torch.ones(1, 50, 3, dtype=torch.bool)
    expected = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    found = normalise(torch.from_numpy(x).float(), known)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e7, 3e30])
def test_a_flat_line_is_zero_and_not_its_rounding(level: float) -> None:
    x = torch.full((1, 499, 1), level)
    assert not normalise(x, torch.ones(1, 499, 1, dtype=torch.bool)).any()


def test_patches_overlap_and_the_last_one_is_padded() -> None:
    x = torch.arange(1.0, 8.0)[None, :, None]
    assert cut(x, 4, 2)[0, 0].tolist() == [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, 0]]
    assert cut(x[:, :2], 4, 2)[0, 0].tolist() == [[1, 2, 0, 0]]
    assert cut(x[:, :4], 4, 4)[0, 0].tolist() == [[1, 2, 3, 4]]


def test_a_patch_is_real_where_it_has_a_known_point_and_a_new_one() -> None:
    known = torch.ones(3, 8, 2, dtype=torch.bool)
    known[1, 5:] = False
    known[2, 4:] = False
    known[0, :4, 1] = False  # a gap in one channel
    real = seen(known, torch.tensor([8, 5, 4]), 4, 2)  # patches 0..3, 2..5 and 4..7
    assert real[0].tolist() == [[True, True, True], [False, True, True]]
    assert real[1, 0].tolist() == [True, True, False]  # 4 is new in the second, and nothing in the third
    assert real[2, 0].tolist() == [True, False, False]


def test_level_and_size_of_a_channel_make_no_difference() -> None:
    torch.manual_seed(0)
    encoder = PatchTST(channels=2, **SMALL).eval()
    series = gappy(20, 2, 0)
    both = [encoder.processor.decode(one) for one in (series, series * [3.0, 0.5] + [7.0, -90.0])]
    vectors = encoder(**encoder.processor.collate(both)).pooled
    torch.testing.assert_close(vectors[0], vectors[1], rtol=1e-3, atol=1e-4)


def test_the_transformer_sees_one_channel_at_a_time() -> None:
    torch.manual_seed(0)
    encoder = PatchTST(channels=2, **SMALL).eval()
    series = [gappy(12, 2, 0), gappy(12, 2, 0)]
    series[1][:, 1] = gappy(12, 2, 5)[:, 1]
    inputs = encoder.processor.collate([encoder.processor.decode(one) for one in series])
    tokens, patches = encoder(**inputs).tokens, 5
    torch.testing.assert_close(tokens[0, :patches], tokens[1, :patches])
    assert not torch.allclose(tokens[0, patches:], tokens[1, patches:])


def test_a_point_that_is_not_known_reaches_nothing() -> None:
    torch.manual_seed(0)
    encoder = PatchTST(channels=2, **SMALL).eval()
    samples = [encoder.processor.decode(gappy(points, 2, points)) for points in (13, 6)]
    inputs = encoder.processor.collate(samples)
    dirty = inputs | {"x": inputs["x"].masked_fill(~inputs["known"], 1e6)}
    assert torch.equal(encoder(**inputs).pooled, encoder(**dirty).pooled)


def test_fitting_takes_the_channels_of_the_first_series_that_can_be_read() -> None:
    assert PatchTST.fit(["torn", np.zeros((4, 3))], {"channels": None}) == {"channels": 3}
    assert PatchTST.fit([np.zeros((4, 3))], {"channels": 1}) == {}
    assert PatchTST.fit([], {"channels": None}) == {}
    with pytest.raises(
        DataError, match=r"no sample can be read, the first for this reason: no such file: torn"
    ):
        PatchTST.fit(["torn", np.zeros(0)], {"channels": None})


def test_options_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="none could be read"):
        PatchTST()
    with pytest.raises(ValueError, match=r"stride \(9\) must be at most patch \(4\)"):
        PatchTST(channels=1, patch=4, stride=9)


def test_beats_are_told_with_and_without_words_and_a_table(tmp_path: Path) -> None:
    recipe = Recipe(
        sources={
            "all": {"name": "hearts", "rows": 300, "weight": 4},
            "flowers": {"name": "flowers", "without": ["text", "label"]},
        },
        encoders={
            "series": {"name": "patch-tst", "dim": 32, "layers": 1},
            "text": {"name": "scratch-text", "dim": 16, "layers": 1},
            "table": {"name": "ft-transformer", "dim": 16, "layers": 1, "heads": 2},
        },
        width=32,
        fuser={"name": "attend", "modality_dropout": 0.3},
        objectives={"beat": {"name": "classify", "classes": 3}},
        train={"steps": 60, "batch": 32, "lr": 3e-3},
        evaluate={"sources": {"test": {"name": "hearts", "split": "test", "rows": 100}}, "retrieval": []},
    )
    run = train(recipe, tmp_path / "run", registry=Registry())
    assert run.recipe.encoders["series"].options["channels"] == 2
    assert run.metrics["subsets/text/accuracy"] > 0.55  # chance is a third
    assert run.metrics["subsets/series/accuracy"] > 0.45
    told = load(run).predict([{"series": np.arange(40.0)[:, None] % [7, 9]}, {"text": "it beats slow"}])
    assert told["beat"].score.isfinite().all()
