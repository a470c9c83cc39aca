"""Rows that lie nearest are found over HTTP as they are in Python."""

from typing import Any

import pytest

from fusion import Predictor
from fusion.search import Index, find
from tests.serve.conftest import Start, sent


@pytest.mark.parametrize("query", ["", "?k=3", "?k=4&within=audio", "?within=fused&within=text"])
def test_hits_are_those_of_find(
    start: Start, predictor: Predictor, index: Index, rows: list[Any], query: str
) -> None:
    client = start(index=index)
    asked = [sent(row) for row in rows]
    found = client.post(f"/search{query}", json={"rows": [*asked[:2], {"text": ""}, *asked[2:]]})
    assert found.status_code == 200
    told = found.json()["rows"]
    assert told.pop(2) == {"error": "row 2: text: the text is empty"}
    names = [part[7:] for part in query[1:].split("&") if part.startswith("within=")]
    k = int(query[3]) if "k=" in query else 10
    expected = find(predictor, index, rows, k, names or None)
    assert len(told) == len(rows)
    for row, one, hits in zip(rows, told, expected, strict=True):
        assert one["present"] == list(row)
        assert len(one["hits"]) == len(hits) == k
        for hit, near in zip(one["hits"], hits, strict=True):
            assert hit["score"] == pytest.approx(near.score, abs=1e-6)
            assert {hit["modality"]} <= set(names or ["image", "text", "audio"])
            assert (hit["source"], hit["label"] is None) == (near.source, near.label is None)


def test_what_cannot_be_searched_is_said(start: Start, index: Index) -> None:
    content = {"rows": [{"text": "seven"}]}
    without = start().post("/search", json=content)
    assert (without.status_code, without.json()["detail"]) == (
        404,
        "the run has no index to search; `fusion index` makes one",
    )
    client = start(index=index)
    assert client.get("/health").json()["within"] == index.modalities
    unknown = client.post("/search?within=imgae", json=content)
    assert unknown.status_code == 422
    [problem] = unknown.json()["detail"]
    assert problem["loc"] == ["query", "within"]
    assert "unknown modality of the index 'imgae'; did you mean 'image'" in problem["msg"]
    more = client.post("/search?wihtin=audio", json=content)
    assert (more.status_code, more.json()["detail"][0]["loc"]) == (422, ["query", "wihtin"])
    for k in ("0", "1001", "x"):
        assert client.post(f"/search?k={k}", json=content).json()["detail"][0]["loc"] == ["query", "k"]
