"""What is too much is refused, by the status that the standards have for it, and nobody waits for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from fusion import Predictor
from fusion.serve.limits import Limits
from tests.serve.conftest import Start, sent
from tests.serve.toys import Held


@pytest.fixture
def held(predictor: Predictor) -> Held:
    return Held(predictor)


def test_a_large_body_is_413_whether_or_not_it_says_so(start: Start) -> None:
    client = start(Limits(body=1000))
    large, json = b" " * 1001, {"content-type": "application/json"}
    for content in (large, (large[:600] for _ in range(2))):  # the second is sent in chunks
        found = client.post("/encode", content=content, headers=json)
        assert found.status_code == 413
        assert "more than 1,000 bytes" in found.json()["detail"]
    fits = b'{"rows": [{"text": "x"}]}'.ljust(1000)
    assert client.post("/encode", content=fits, headers=json).status_code == 200


def test_rows_and_characters_have_limits(start: Start) -> None:
    client = start(Limits(rows=2, characters=4))
    assert client.post("/encode", json={"rows": [{"text": "four"}] * 2}).status_code == 200
    many = client.post("/encode", json={"rows": [{"text": "four"}] * 3})
    assert (many.status_code, many.json()["detail"][0]["msg"]) == (422, "3 rows; 1 to 2 are taken at once")
    long = client.post("/encode", json={"rows": [{"text": "fives"}]})
    assert long.status_code == 422
    assert "a text of 5 characters; at most 4 are taken here" in long.json()["detail"][0]["msg"]


def test_what_takes_too_long_is_504_and_the_next_is_answered(start: Start, held: Held) -> None:
    client = start(Limits(seconds=0.2), predictor=held)
    found = client.post("/encode", json={"rows": [{"text": "x"}]})
    assert (found.status_code, found.json()["detail"]) == (504, "there was no answer in 0.2 s")
    held.gate.set()
    assert client.post("/encode", json={"rows": [{"text": "x"}]}).status_code == 200


def test_a_full_server_says_when_to_come_again(start: Start, held: Held) -> None:
    client = start(Limits(queue=2), predictor=held, batch=1)
    with ThreadPoolExecutor(2) as threads:
        begun = [threads.submit(client.post, "/encode", json={"rows": [{"text": "x"}]}) for _ in range(2)]
        assert held.entered.wait(60)
        while client.service._busy < 2:  # type: ignore[attr-defined]
            threading.Event().wait(0.001)
        refused = client.post("/encode", json={"rows": [{"text": "x"}]})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert client.get("/health").status_code == 200  # which asks for nothing
        held.gate.set()
        assert [one.result(60).status_code for one in begun] == [200, 200]
    assert client.post("/encode", json={"rows": [{"text": "x"}]}).status_code == 200


def test_rows_that_find_no_place_are_429(start: Start, held: Held) -> None:
    client = start(Limits(queue=3), predictor=held, batch=1)
    with ThreadPoolExecutor(2) as threads:
        begun = [threads.submit(client.post, "/encode", json={"rows": [{"text": "x"}]})]
        assert held.entered.wait(60)
        begun.append(threads.submit(client.post, "/encode", json={"rows": [{"text": "x"}] * 3}))
        while client.service.batches.waiting < 3:  # type: ignore[attr-defined]
            threading.Event().wait(0.001)
        refused = client.post("/encode", json={"rows": [{"text": "x"}]})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        held.gate.set()
        assert [one.result(60).status_code for one in begun] == [200, 200]


def test_a_server_that_has_stopped_says_so(start: Start) -> None:
    client = start()
    client.service.batches.close()  # type: ignore[attr-defined]
    found = client.post("/encode", json={"rows": [{"text": "x"}]})
    assert (found.status_code, found.json()["detail"]) == (503, "the server is stopping")
    health = client.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "stopped")


SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/encode",
    "query_string": b"",
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"9")],
}


def test_a_body_that_does_not_come_is_408(start: Start) -> None:
    client, said = start(Limits(seconds=0.1)), list[Any]()

    async def receive() -> dict[str, Any]:
        await anyio.sleep(60)
        raise AssertionError("nobody waits that long")

    async def send(message: Any) -> None:
        said.append(message)

    assert client.portal is not None
    client.portal.call(client.app, SCOPE, receive, send)
    assert said[0]["status"] == 408
    assert b"did not come in 0.1 s" in said[1]["body"]


def test_a_client_that_leaves_is_no_error_of_ours(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    client, said = start(), list[Any]()

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    assert client.portal is not None
    client.portal.call(client.app, SCOPE, receive, send)
    assert said[0]["status"] == 400
    assert caplog.records == []
    assert client.post("/encode", json={"rows": [sent({"text": "x"})]}).status_code == 200
