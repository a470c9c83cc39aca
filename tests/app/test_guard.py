"""What may pass to the library that draws the page, without a browser or the library."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest

from fusion.app.guard import ASKED, Guard

QUESTION = {
    "data": ["a", None, ""],
    "event_data": None,
    "fn_index": 0,
    "trigger_id": 12,
    "session_hash": "j7x",
}
FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}


class Behind:
    """Keeps the bodies that pass."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def ask(
    guard: Guard, messages: Iterable[dict[str, Any]], path: str = ASKED, method: str = "POST"
) -> list[Any]:
    """Return what is said to a request whose messages are these; no more come after them."""
    said: list[Any] = []
    coming = iter(messages)

    async def receive() -> Any:
        for message in coming:
            return message
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": []}
    asyncio.run(guard(scope, receive, send))
    return [message["status"] for message in said if "status" in message]


def part(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_question_passes_whole() -> None:
    behind, body = Behind(), json.dumps(QUESTION).encode()
    assert ask(Guard(behind, len(body)), [part(body[:9], True), part(body[9:])]) == [200]
    assert behind.bodies == [body]


@pytest.mark.parametrize(
    "changed",
    [
        {"data": [FILE]},
        {"data": "text"},
        {"data": None},
        {"event_data": FILE},
        {"event_data": "text"},
        {"oauth_token": "x"},
        {"simple_format": True},
        {"fn_index": "0"},
        {"fn_index": True},
        {"session_hash": FILE},
        {"session_hash": "x" * 101},
        {"other": 1},
    ],
)
def test_what_is_none_of_the_page_is_refused(changed: dict[str, Any]) -> None:
    behind = Behind()
    assert ask(Guard(behind, 10_000), [part(json.dumps(QUESTION | changed).encode())]) == [422]
    assert behind.bodies == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'"data"', b"{}", b"[" * 9000, b"\xff"])
def test_what_is_no_question_is_refused(body: bytes) -> None:
    assert ask(Guard(Behind(), 10_000), [part(body)]) == [422]


def test_a_body_that_breaks_off_is_no_question() -> None:
    behind, body = Behind(), json.dumps(QUESTION).encode()
    gone = {"type": "http.disconnect"}
    assert ask(Guard(behind, 10_000), [part(body, True), gone]) == []
    assert behind.bodies == []


def test_a_body_that_does_not_come_is_408() -> None:
    behind = Behind()
    assert ask(Guard(behind, 10_000, seconds=0.05), [part(b"{", True)]) == [408]
    assert behind.bodies == []


def test_a_large_body_is_refused_before_its_end() -> None:
    rest = iter([part(b"12345", True), part(b"67", True), part(b"never read")])
    assert ask(Guard(Behind(), 6), rest) == [413]
    assert next(rest) == part(b"never read")


@pytest.mark.parametrize(("method", "path"), [("GET", ASKED), ("POST", "/"), ("DELETE", "/config")])
def test_what_the_page_does_not_ask_for_is_not_there(method: str, path: str) -> None:
    assert ask(Guard(Behind(), 10), [part(b"")], path, method) == [404]
