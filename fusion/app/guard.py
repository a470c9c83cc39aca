"""Let through what the page asks for, and nothing else that gradio answers: no file, address or upload."""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

API = "/gradio_api"
ASKED = f"{API}/queue/join"
SEEN = re.compile(
    rf"/|/(assets|static|svelte)/[\w./@+-]+|/(theme\.css|config|favicon\.ico|manifest\.json|robots\.txt)"
    rf"|{API}/(info|app_id|startup-events|queue/data|heartbeat/\w+)"
)
"""Paths that are only read."""
TOLD = re.compile(rf"{API}/(queue/join|cancel|reset)/?")
"""Paths to which something is sent."""


class Guard:
    """An ASGI application in front of gradio's, which takes bodies of at most `most` bytes.

    What is asked holds texts alone: the names of files, which gradio would look for, are refused, as are the
    places where it takes uploads, reads files and fetches addresses for whoever asks.
    """

    def __init__(self, app: App, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path, method = scope["path"], scope.get("method", "")
        if scope["type"] != "http" or not _known(path, method) or ".." in path:
            await _refuse(send, 404, "there is nothing here")
            return
        body = await _read(receive, self.most)
        if body is None:
            await _refuse(send, 413, f"that is more than {self.most:,} bytes; give smaller samples")
        elif path.rstrip("/") == ASKED and not _texts(body):
            await _refuse(send, 422, "only texts are taken")
        else:
            await self.app(scope, _again(body, receive), send)


def _known(path: str, method: str) -> bool:
    return bool({"GET": SEEN, "HEAD": SEEN, "POST": TOLD}.get(method, re.compile("(?!)")).fullmatch(path))


async def _read(receive: Receive, most: int) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return given.pop() if given else await receive()

    return receive_again


def _texts(body: bytes) -> bool:
    try:
        data = json.loads(body)["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return isinstance(data, list) and all(one is None or isinstance(one, str) for one in data)


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps({"detail": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
