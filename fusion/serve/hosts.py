"""Answer only to names that are the server's own."""

import re
from collections.abc import Collection
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HOST = re.compile(r"(?:\[(?P<six>[^]]*)]|(?P<name>[^:]*))(?::\d*)?")


class Hosts:
    """An ASGI application that answers where `Host` is an address, localhost, or one of `names`.

    A page of a stranger whose name is made to stand for this machine (DNS rebinding) could read what is
    answered, as its browser takes both for the same place; but it asks by its own name. "*" is any name.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self.app = app
        self.names = {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Headers(scope=scope).getlist("host") if scope["type"] == "http" else []
        strange = [host for host in asked if not self._known(host)]
        if not strange:
            await self.app(scope, receive, send)
            return
        told = f"this server is not called {strange[0]!r:.100}; `--allow-host` of the command lets a name in"
        await JSONResponse({"detail": told}, 421)(scope, receive, send)

    def _known(self, host: str) -> bool:
        found = HOST.fullmatch(host)
        if found is None:
            return False
        name = (found["six"] or found["name"] or "").lower().rstrip(".")
        return bool({"*", name} & self.names) or f".{name}".endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
