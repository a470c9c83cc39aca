"""What a server counts, for Prometheus."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Counts:
    """Counters of one server, and of its process."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "fusion_requests", "Requests that were answered", ("path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "fusion_request_seconds", "From a request to its answer", ("path",), registry=self.registry
        )
        self.rows = Counter(
            "fusion_rows", "Rows that were answered, or could not be", ("outcome",), registry=self.registry
        )
        self.batch_rows = Histogram(
            "fusion_batch_rows",
            "Rows that were read and encoded at once",
            buckets=ROWS,
            registry=self.registry,
        )
        self.batch_seconds = Histogram(
            "fusion_batch_seconds", "Reading and encoding of a batch", registry=self.registry
        )
        Gauge("fusion_waiting_rows", "Rows that wait", registry=self.registry).set_function(waiting)

    def batch(self, rows: int, seconds: float) -> None:
        """Count a batch."""
        self.batch_rows.observe(rows)
        self.batch_seconds.observe(seconds)


class Measured:
    """An application that counts its requests; paths that are none of `paths` count as "other"."""

    def __init__(self, app: ASGIApp, counts: Counts, paths: frozenset[str]) -> None:
        self.app, self.counts, self.paths = app, counts, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self.paths else "other"
        began, status = time.monotonic(), 500  # where the application raises

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, told)
        finally:
            self.counts.requests.labels(path, str(status)).inc()
            self.counts.seconds.labels(path).observe(time.monotonic() - began)
