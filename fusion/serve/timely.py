"""Close a connection on which no request comes: uvicorn waits for one without end."""

import asyncio
from functools import partial
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol


class Timely(asyncio.Protocol):
    """A connection that is closed where the head of a request is not whole in so many seconds.

    They begin with the connection, and after an answer with the first byte of what comes next; single bytes
    do not prolong them. Between two requests uvicorn waits 5 seconds. Everything else is its own.
    """

    def __init__(self, seconds: float, **options: Any) -> None:
        self.seconds = seconds
        self.inner = cast("Any", AutoHTTPProtocol(**options))
        self.inner.app = self._told(self.inner.app)
        self.answering = 0
        self.limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._begin()
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self.answering and self.limit is None:
            self._begin()
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return cast("bool | None", self.inner.eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def _begin(self) -> None:
        self.limit = asyncio.get_running_loop().call_later(self.seconds, self.transport.close)

    def _end(self) -> None:
        if self.limit is not None:
            self.limit.cancel()
            self.limit = None

    def _told(self, app: ASGIApp) -> ASGIApp:
        """Return an application that says when it is asked, which is when the head of a request is whole."""

        async def asked(scope: Scope, receive: Receive, send: Send) -> None:
            self._end()
            self.answering += 1
            try:
                await app(scope, receive, send)
            finally:
                self.answering -= 1

        return asked


def within(seconds: float) -> type[asyncio.Protocol]:
    """Return the connections as uvicorn takes them."""
    return cast("type[asyncio.Protocol]", partial(Timely, seconds))
