"""The answers over HTTP are those of the predictor, row by row."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from fusion import Predictor
from tests.serve.conftest import Start, sent

NEAR = {"rtol": 0, "atol": 1e-6}


def test_vectors_are_those_of_the_predictor(start: Start, predictor: Predictor, rows: list[Any]) -> None:
    found = start().post("/encode", json={"rows": [sent(row) for row in rows]})
    assert found.status_code == 200
    assert len(found.json()["rows"]) == len(rows)
    expected = predictor.encode(rows)
    for number, (row, told) in enumerate(zip(rows, found.json()["rows"], strict=True)):
        assert told.keys() == {"present", "vectors", "fused"}
        assert told["present"] == list(row)
        assert told["vectors"].keys() == row.keys()
        torch.testing.assert_close(torch.tensor(told["fused"]), expected.fused[number], **NEAR)
        for name in row:
            vector = torch.tensor(told["vectors"][name])
            torch.testing.assert_close(vector, expected.vectors[name][number], **NEAR)


def test_answers_have_names_and_temperatures(start: Start, predictor: Predictor, rows: list[Any]) -> None:
    found = start().post("/predict", json={"rows": [sent(row) for row in rows]}).json()["rows"]
    expected = predictor.predict(rows)["digit"]
    plain = Predictor(predictor.model, predictor.recipe).predict(rows)["digit"]
    warm = {"audio": 2.0, "image+text": 0.5}
    for number, (row, told) in enumerate(zip(rows, found, strict=True)):
        answer = told["answers"]["digit"]
        assert told["present"] == list(row)
        assert answer["value"] == expected.value[number].item()
        assert answer["label"] == predictor.recipe.classes[answer["value"]]
        assert answer["temperature"] == warm.get("+".join(row), 1.0)
        torch.testing.assert_close(torch.tensor(answer["score"]), expected.score[number], **NEAR)
        by_hand = (plain.score[number].log() / answer["temperature"]).softmax(0)
        torch.testing.assert_close(torch.tensor(answer["score"]), by_hand, **NEAR)
    assert {told["answers"]["digit"]["temperature"] for told in found} == {0.5, 1.0, 2.0}


def test_many_at_once_get_their_own_answers(start: Start, predictor: Predictor, rows: list[Any]) -> None:
    client, expected = start(batch=5, wait=0.02), predictor.encode(rows)

    def ask(number: int) -> float:
        row = number % len(rows)
        path = "/encode" if number % 2 else "/predict"
        [told] = client.post(path, json={"rows": [sent(rows[row])]}).json()["rows"]
        assert told["present"] == list(rows[row])
        if path == "/predict":
            return 0.0
        return float((torch.tensor(told["fused"]) - expected.fused[row]).abs().max())

    with ThreadPoolExecutor(8) as threads:
        far = list(threads.map(ask, range(36)))
    assert max(far) <= 1e-6
    client.service.batches.close()  # type: ignore[attr-defined]  # so that all is counted
    told = client.get("/metrics").text
    [batches] = [line for line in told.splitlines() if line.startswith("fusion_batch_rows_count")]
    assert float(batches.split()[1]) < 36  # some were answered together
    assert "fusion_batch_rows_sum 36.0" in told


def test_a_row_that_cannot_be_read_is_named_and_costs_no_other(start: Start, rows: list[Any]) -> None:
    client = start(wait=0.05)
    bad = [
        {"image": {"base64": "AAAA"}},
        {"audio": {"base64": "?"}},
        {"text": " "},
        {"image": {"array": [[300.0]]}},
    ]
    messages = [
        "row 1: image: cannot read the image (3 bytes): none of",
        "row 2: audio: this is no base64",
        "row 3: text: the text is empty",
        "row 4: image: image array of floats from 300 to 300",
    ]
    with ThreadPoolExecutor(2) as threads:  # a stranger's request in the same batch
        other = threads.submit(client.post, "/encode", json={"rows": [sent(row) for row in rows]})
        found = client.post("/encode", json={"rows": [sent(rows[6]), *bad, sent(rows[1])]})
    assert found.status_code == 200
    told = found.json()["rows"]
    assert [list(row) == ["error"] for row in told] == [False, True, True, True, True, False]
    for row, message in zip(told[1:5], messages, strict=True):
        assert row["error"].startswith(message)
    assert all("fused" in row for row in other.result().json()["rows"])
    alone = client.post("/encode", json={"rows": [sent(rows[1])]}).json()["rows"][0]
    torch.testing.assert_close(torch.tensor(told[5]["fused"]), torch.tensor(alone["fused"]), **NEAR)
    assert 'fusion_rows_total{outcome="unread"} 4.0' in client.get("/metrics").text


def test_a_form_is_one_row(start: Start, predictor: Predictor, rows: list[Any]) -> None:
    row = rows[6]
    files = {name: (f"{name}.bin", row[name]) for name in ("image", "audio")}
    [told] = start().post("/encode", data={"text": row["text"]}, files=files).json()["rows"]
    assert told["present"] == ["image", "text", "audio"]
    torch.testing.assert_close(torch.tensor(told["fused"]), predictor.encode(row).fused[0], **NEAR)


def test_arrays_and_waves_are_samples(start: Start, predictor: Predictor) -> None:
    pixels = np.arange(81, dtype=np.uint8).reshape(9, 9)
    wave = np.sin(np.arange(2000) / 10).astype(np.float32)
    row = {
        "image": {"array": pixels.tolist(), "dtype": "uint8"},
        "audio": {"array": wave.tolist(), "rate": 8000},
    }
    [told] = start().post("/encode", json={"rows": [row]}).json()["rows"]
    expected = predictor.encode({"image": pixels, "audio": (wave, 8000)}).fused[0]
    torch.testing.assert_close(torch.tensor(told["fused"]), expected, **NEAR)


@pytest.mark.parametrize("name", ["image", "audio"])
def test_no_path_is_read(start: Start, tmp_path: Any, rows: list[Any], name: str) -> None:
    path = tmp_path / "there"
    path.write_bytes(rows[6][name])
    assert start().service.predictor.encode({name: str(path)}).present[name].item()  # type: ignore[attr-defined]
    for given in (str(path), path.as_uri(), {"path": str(path)}, {"url": path.as_uri()}):
        found = start().post("/encode", json={"rows": [{name: given}]})
        assert found.status_code == 422
        assert found.json()["detail"][0]["msg"].startswith(f"{name}: given as ")
    assert start().post("/encode", data={name: str(path)}, files={"x": b""}).status_code == 422


def problem(client: TestClient, content: Any) -> tuple[int, Any]:
    found = client.post("/predict", json=content)
    return found.status_code, [(tuple(one["loc"]), one["msg"]) for one in found.json()["detail"]]


def test_what_has_a_wrong_form_is_422_and_all_of_it_is_told(start: Start) -> None:
    client = start()
    for content in ([], {}, {"rows": 1}, {"rows": [{"text": "x"}], "more": 1}):
        assert problem(client, content) == (422, [(("body",), 'expected {"rows": [...]}, and nothing else')])
    assert problem(client, {"rows": []}) == (422, [(("body", "rows"), "0 rows; 1 to 64 are taken at once")])
    code, told = problem(client, {"rows": [{"txt": "x"}, {"text": "x"}, {}, {"text": 3}]})
    assert code == 422
    assert [place for place, _ in told] == [("body", "rows", 0), ("body", "rows", 2), ("body", "rows", 3)]
    assert told[0][1].startswith("unknown modality 'txt'; did you mean 'text'?")
    lone = client.post(
        "/encode", content=b'{"rows": [{"\\ud800": "x"}]}', headers={"content-type": "application/json"}
    )
    assert (lone.status_code, "unknown modality" in lone.text) == (422, True)  # half a character


@pytest.mark.parametrize(
    ("send", "code", "message"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "the body is not JSON"),
        (
            {"content": b'{"rows": [{"text": NaN}]}', "headers": {"content-type": "application/json"}},
            400,
            "NaN",
        ),
        (
            {"content": b"[" * 99999, "headers": {"content-type": "application/json"}},
            400,
            "the body is not JSON",
        ),
        ({"content": b"\xff", "headers": {"content-type": "application/json"}}, 400, "the body is not JSON"),
        ({"content": b"x"}, 415, "Content-Type is 'missing'"),
        ({"data": {"text": "x"}}, 415, "Content-Type is 'application/x-www-form-urlencoded'"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
    ],
)
def test_what_cannot_be_parsed_is_said(start: Start, send: dict[str, Any], code: int, message: str) -> None:
    found = start().post("/encode", **send)
    assert found.status_code == code
    assert message in found.json()["detail"]


def test_fields_given_twice_are_refused(start: Start) -> None:
    files = [("image", b"a"), ("image", b"b")]
    found = start().post("/encode", files=files)
    assert found.status_code == 422
    assert "a field is given twice" in found.json()["detail"][0]["msg"]


def test_health_tells_what_may_be_sent(start: Start, predictor: Predictor) -> None:
    assert start().get("/health").json() == {
        "status": "ok",
        "run": "bind_digits",
        "weights": predictor.weights,
        "device": "cpu",
        "takes": {"image": ["bytes", "array"], "text": ["text"], "audio": ["bytes", "array"]},
        "tasks": ["digit"],
        "within": [],
        "waiting": 0,
    }


def test_requests_are_counted_by_path_and_status(start: Start) -> None:
    client = start()
    for path in ("/health", "/no", "/no/more"):
        client.get(path)
    client.post("/encode", json={})
    told = client.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    for line in (
        'fusion_requests_total{path="/health",status="200"} 1.0',
        'fusion_requests_total{path="other",status="404"} 2.0',
        'fusion_requests_total{path="/encode",status="422"} 1.0',
        'fusion_request_seconds_count{path="/encode"} 1.0',
    ):
        assert line in told.text.splitlines()


def test_a_run_without_a_task_predicts_nothing(
    start: Start, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(predictor.model), "tasks", {})
    client = start()
    found = client.post("/predict", json={"rows": [{"text": "x"}]})
    assert (found.status_code, "has no task that predicts" in found.json()["detail"]) == (404, True)
    assert client.post("/encode", json={"rows": [{"text": "x"}]}).status_code == 200


def test_a_wrong_method_is_told_the_right_one(start: Start) -> None:
    found = start().get("/encode")
    assert (found.status_code, found.headers["allow"]) == (405, "POST")
