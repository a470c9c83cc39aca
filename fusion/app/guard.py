"""Let through what the page asks for, and nothing else that gradio answers: no file, address or upload."""

import asyncio
import json
import re
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/gradio_api"
ASKED = f"{API}/queue/join"
SEEN = re.compile(
    rf"/|/(assets|static|svelte)/[\w./@+-]+|/(theme\.css|config|favicon\.ico|manifest\.json|robots\.txt)"
    rf"|{API}/(info|app_id|startup-events|queue/data|heartbeat/\w+)"
)
"""Paths that are only read."""
TOLD = re.compile(rf"{API}/(queue/join|cancel|reset)/?")
"""Paths to which something is sent."""
NAMED = {"session_hash": str, "fn_index": int, "trigger_id": int}
"""What a question has beside its samples; it may have other keys without a value."""
LONGEST = 100  # characters of a name that gradio keeps


class Guard:
    """An ASGI application in front of gradio's, which takes bodies of `most` bytes in so many seconds.

    What is asked holds texts alone: the names of files, which gradio would look for, are refused, as are the
    places where it takes uploads, reads files and fetches addresses for whoever asks.
    """

    def __init__(self, app: ASGIApp, most: int, seconds: float = 30.0) -> None:
        self.app, self.most, self.seconds = app, most, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            given = await self._let_in(scope, receive)
        except HTTPException as refused:
            await JSONResponse({"detail": refused.detail}, refused.status_code)(scope, receive, send)
        else:
            if given is not None:
                await self.app(scope, given, send)

    async def _let_in(self, scope: Scope, receive: Receive) -> Receive | None:
        """Return where a request that passes is read; None where the client left. Raises HTTPException."""
        path, method = scope["path"], scope["method"]
        if not _known(path, method) or ".." in path:
            raise HTTPException(404, "there is nothing here")
        try:
            async with asyncio.timeout(self.seconds):
                body = await _read(receive, self.most)
        except TimeoutError as error:
            raise HTTPException(408, f"the body did not come in {self.seconds:g} s") from error
        if body is None:
            return None
        if len(body) > self.most:
            raise HTTPException(413, f"that is more than {self.most:,} bytes; give smaller samples")
        if path.rstrip("/") == ASKED and not _is_asked(body):
            raise HTTPException(422, "only texts are taken")
        return _again(body, receive)


def _known(path: str, method: str) -> bool:
    return bool({"GET": SEEN, "HEAD": SEEN, "POST": TOLD}.get(method, re.compile("(?!)")).fullmatch(path))


async def _read(receive: Receive, most: int) -> bytes | None:
    """Return a body, or what is already more than `most` bytes of it; None where the client leaves."""
    body = bytearray()
    while len(body) <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return given.pop() if given else await receive()

    return receive_again


def _is_asked(body: bytes) -> bool:
    """Return whether a question holds nothing but texts, and what names it."""
    try:
        asked = json.loads(body)
        texts = asked.pop("data")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return (
        isinstance(texts, list)
        and all(map(_is_text, texts))
        and all(
            value is None or (type(value) is NAMED.get(key) and len(str(value)) <= LONGEST)
            for key, value in asked.items()
        )
    )


def _is_text(given: Any) -> bool:
    return given is None or isinstance(given, str)
