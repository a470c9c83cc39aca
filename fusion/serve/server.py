"""Listen, answer, and end well."""

import signal
import socket
from collections.abc import Callable, Collection

import uvicorn
from starlette.types import ASGIApp

from fusion.errors import RunError
from fusion.serve.hosts import Hosts
from fusion.serve.timely import within


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 stands for any that is free. Raises RunError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise RunError(f"cannot listen on {host}, port {port}: {error}") from error


def url(listening: socket.socket) -> str:
    """Return the address of a socket as a browser takes it."""
    address, port = listening.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def serve(
    app: ASGIApp,
    listening: socket.socket,
    ready: Callable[[], None],
    names: Collection[str] = (),
    seconds: float = 30.0,
) -> None:
    """Answer by an ASGI application until SIGTERM or Ctrl-C, and then what was begun for so many seconds.

    It is asked by an address, as localhost, or by one of `names`. A connection on which no request comes in
    so many seconds is closed.
    """
    config = uvicorn.Config(
        Hosts(app, names),
        http=within(seconds),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(seconds) + 1,
    )
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn raises it once more when it has ended
    try:
        ready()
        uvicorn.Server(config).run([listening])
    finally:
        signal.signal(signal.SIGTERM, before)
