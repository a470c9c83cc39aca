"""A connection on which no request comes is closed, and none on which one is answered."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from fusion.serve import timely
from fusion.serve.server import listen, serve
from fusion.serve.timely import within

SECONDS = 1.0
LIMIT = 60.0
"""After which a connection counts as left open."""
REQUEST = b"GET /%s HTTP/1.1\r\nHost: here\r\n\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what is asked under a name after more than the time in which a request has to come."""
    if scope["path"] != "/":
        await asyncio.sleep(1.5 * SECONDS)
    await PlainTextResponse("here")(scope, receive, send)


def said(talk: Talk) -> bytes:
    """Return what a server says to a client until it closes the connection."""

    async def run() -> bytes:
        config = uvicorn.Config(slow, http=within(SECONDS), ws="none", log_config=None, timeout_keep_alive=60)
        config.load()
        options = {"config": config, "server_state": ServerState(), "app_state": {}}
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: config.http_protocol_class(**options), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            async with asyncio.timeout(LIMIT):
                return await talk(reader, writer)
        finally:
            writer.close()
            server.close()

    return asyncio.run(run())


@pytest.fixture(params=["httptools", "h11"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What uvicorn reads requests by, where httptools is installed and where it is not."""
    if request.param == "h11":
        monkeypatch.setattr(timely, "AutoHTTPProtocol", H11Protocol)


def test_a_connection_on_which_nothing_comes_is_closed() -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        return await reader.read()

    assert said(wait) == b""


def test_bytes_that_come_one_by_one_do_not_keep_it_open() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET / HTTP/1.1\r\nHost: ")
        while not reader.at_eof():
            writer.write(b"h")
            try:
                await asyncio.wait_for(reader.read(1), SECONDS / 10)
            except TimeoutError:
                continue
        return b"closed"

    assert said(trickle) == b"closed"


def test_an_answer_may_take_longer_and_then_the_next_request_has_its_time() -> None:
    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        for name in (b"long", b""):
            writer.write(REQUEST % name)
            answer = await reader.readuntil(b"\r\n\r\nhere")
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        writer.write(REQUEST[:20])
        return await reader.read()  # it would be open for another minute by uvicorn

    assert said(ask) == b""


def test_the_servers_close_it_after_their_timeout() -> None:
    closed: list[bytes] = []
    with listen("127.0.0.1", 0) as listening:

        def wait() -> None:
            try:
                with socket.create_connection(listening.getsockname(), timeout=LIMIT) as client:
                    closed.append(client.recv(1))
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        serve(slow, listening, threading.Thread(target=wait).start, seconds=SECONDS)
    assert closed == [b""]
