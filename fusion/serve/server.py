"""Listen, answer, and end well."""

import signal
import socket
from collections.abc import Callable

import uvicorn

from fusion.errors import RunError
from fusion.serve.api import Service, build


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 stands for any that is free. Raises RunError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise RunError(f"cannot listen on {host}, port {port}: {error}") from error


def serve(service: Service, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Answer until SIGTERM or Ctrl-C, and then what was begun; returns after SIGTERM."""
    config = uvicorn.Config(
        build(service),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(service.limits.seconds) + 1,
    )
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn raises it once more when it has ended
    try:
        ready()
        uvicorn.Server(config).run([listening])
    finally:
        signal.signal(signal.SIGTERM, before)
