"""Rows ask within modalities by the mean of their vectors, and within "fused" by their fused vector."""

import pytest
import torch
import torch.nn.functional as F

from fusion import DataError, Model, Predictor, Run, RunError
from fusion.search import Index, find
from tests.evaluation.toys import toy_rows
from tests.search.conftest import Update

READ = [number for number in range(12) if number != 10]
"""The rows that can be read."""


@pytest.fixture
def index(toy: tuple[Run, Model], refresh: Update) -> Index:
    refresh()
    return Index.open(toy[0])


def test_a_row_of_one_modality_asks_by_its_vector(predictor: Predictor, index: Index) -> None:
    """Equal samples have equal vectors here: green is seen in rows 1, 3, 4 and 7, and heard in row 4."""
    seen, heard = find(predictor, index, [{"text": "green"}, {"sight": "1"}], 5, ["sight", "sound"])
    assert {(hit.modality, hit.row) for hit in seen} == {
        *(("sight", row) for row in (1, 3, 4, 7)),
        ("sound", 4),
    }
    assert [hit.score for hit in seen] == pytest.approx([1] * 5)
    assert heard == seen


def test_several_modalities_ask_by_the_mean_of_their_vectors(predictor: Predictor, index: Index) -> None:
    row = {"text": "green", "sight": "0"}
    encoded = predictor.encode(row)
    query = F.normalize((encoded.vectors["text"] + encoded.vectors["sight"]) / 2)
    rows = [row for row in READ if "sound" in toy_rows()[row]]
    vectors = predictor.encode([{"sound": toy_rows()[row]["sound"]} for row in rows]).vectors["sound"]
    expected = sorted(zip((query @ vectors.T)[0].tolist(), rows, strict=True), reverse=True)
    [hits] = find(predictor, index, row, 3, ["sound"])
    assert [hit.score for hit in hits] == pytest.approx([score for score, _ in expected[:3]], abs=1e-6)
    assert {hit.row for hit in hits} == {0, 4, 6}  # red is heard in two of them, green in one


def test_within_fused_a_row_asks_by_its_fused_vector(predictor: Predictor, index: Index) -> None:
    given = [
        {key: toy_rows()[row][key] for key in ("sight", "sound", "text") if key in toy_rows()[row]}
        for row in READ
    ]
    fused = F.normalize(predictor.encode(given).fused)
    asked = [given[4], {"sight": "2"}]
    found = find(predictor, index, asked, 11, ["fused"])
    scores = F.normalize(predictor.encode(asked).fused) @ fused.T
    for hits, expected in zip(found, scores, strict=True):
        assert sorted(hit.row for hit in hits) == READ
        told = {hit.row: hit.score for hit in hits}
        torch.testing.assert_close(torch.tensor([told[row] for row in READ]), expected, rtol=0, atol=1e-6)
    assert found[0][0].row == 4


def test_modalities_and_fused_are_put_in_one_order(predictor: Predictor, index: Index) -> None:
    [both] = find(predictor, index, {"text": "red"}, 6, ["fused", "sight"])
    [fused] = find(predictor, index, {"text": "red"}, 6, ["fused"])
    [sight] = find(predictor, index, {"text": "red"}, 6, ["sight"])
    assert both == sorted([*sight, *fused], key=lambda hit: -hit.score)[:6]


def test_another_model_is_not_let_to_ask(predictor: Predictor, index: Index) -> None:
    other = Predictor(predictor.model, predictor.recipe, weights="another")
    with pytest.raises(RunError, match="'test' was made by other weights than those that are to ask it"):
        find(other, index, {"text": "red"}, 1)
    with pytest.raises(DataError, match="unknown modality 'smell'"):
        find(predictor, index, {"smell": "red"}, 1)
