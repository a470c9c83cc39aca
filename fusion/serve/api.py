"""The HTTP interface of a run."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import torch
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from fusion import __version__
from fusion.errors import DataError, RunError
from fusion.gate import Gate
from fusion.inference import Predictor
from fusion.search import Index
from fusion.serve import asks, described
from fusion.serve.batches import Batches
from fusion.serve.limits import Limits
from fusion.serve.measured import Counts, Measured
from fusion.serve.reading import invalid, rows
from fusion.serve.request import Ask, FullError, StoppedError

MOST = 1000  # that are found for a row


class Answer(Response):
    """JSON in ASCII, as what is told back to a client may hold what UTF-8 does not have."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Service:
    """A run that answers many requests at once, in batches of `batch` rows that wait `wait` seconds."""

    def __init__(
        self,
        predictor: Predictor,
        limits: Limits | None = None,
        batch: int = 64,
        wait: float = 0.0,
        index: Index | None = None,
    ) -> None:
        self.predictor, self.limits, self.index = predictor, limits or Limits(), index
        if index is not None:  # so that what it builds when it is first asked is there
            index.search(torch.ones(1, index.record.width), 1, index.modalities)
        self.gate = Gate(predictor.model.processors, self.limits.characters)
        self.counts = Counts(lambda: float(self.batches.waiting))
        self.batches = Batches(predictor, batch, wait, self.limits.queue, self.counts.batch)
        self._busy = 0  # requests

    async def answer(self, request: Request, ask: Ask) -> Answer:
        """Answer the rows of a request. Raises HTTPException."""
        if self._busy >= self.limits.queue:
            raise _full(FullError(self.batches.patience))
        self._busy += 1
        try:
            return Answer({"rows": self._told(await self._answers(request, ask))})
        finally:
            self._busy -= 1

    async def _answers(self, request: Request, ask: Ask) -> list[Any]:
        until = asyncio.get_running_loop().time() + self.limits.seconds
        try:
            async with asyncio.timeout_at(until):
                read = await rows(request, self.gate, self.limits)
        except TimeoutError as error:
            raise HTTPException(408, f"the body did not come in {self.limits.seconds:g} s") from error
        except ClientDisconnect as error:
            raise HTTPException(400, "the body ended before its end") from error
        try:
            async with asyncio.timeout_at(until):
                left = until - asyncio.get_running_loop().time()
                return await asyncio.wrap_future(self.batches.submit(read, ask, left))
        except TimeoutError as error:
            raise HTTPException(504, f"there was no answer in {self.limits.seconds:g} s") from error
        except FullError as error:
            raise _full(error) from error
        except StoppedError as error:
            raise HTTPException(503, str(error)) from error

    def _told(self, answers: list[Any]) -> list[Any]:
        unread = sum(isinstance(answer, DataError) for answer in answers)
        self.counts.rows.labels("unread").inc(unread)
        self.counts.rows.labels("answered").inc(len(answers) - unread)
        return [
            {"error": f"row {row}: {answer}"} if isinstance(answer, DataError) else answer
            for row, answer in enumerate(answers)
        ]

    def health(self) -> dict[str, Any]:
        """Return whether rows are answered, and by which run."""
        model = self.predictor.model
        return {
            "status": "ok" if self.batches.alive else "stopped",
            "run": self.predictor.recipe.name,
            "weights": self.predictor.weights,
            "device": str(next(model.parameters()).device),
            "takes": {name: list(forms) for name, forms in self.gate.takes.items()},
            "tasks": list(model.tasks),
            "within": [] if self.index is None else self.index.modalities,
            "waiting": self.batches.waiting,
        }


def build(service: Service) -> FastAPI:
    """Return the application; its end is that of the service."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.batches.close)

    app = FastAPI(
        title=f"fusion: {service.predictor.recipe.name}",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    told: dict[str, Any] = {
        "responses": described.FAILURES,
        "openapi_extra": described.body(service.gate, service.limits),
    }

    @app.post("/encode", response_model=described.EncodedRows, **told)
    async def encode(request: Request) -> Response:
        """Return the vectors of each row: of what it has, and fused."""
        return await service.answer(request, asks.vectors)

    absent = {**told, "responses": described.FAILURES | described.MISSING}

    @app.post("/predict", response_model=described.AnsweredRows, **absent)
    async def predict(request: Request) -> Response:
        """Return what each task of the run answers for each row."""
        try:
            service.predictor.expect_task()
        except RunError as error:
            raise HTTPException(404, str(error)) from error
        return await service.answer(request, asks.Answers(service.predictor))

    names: list[Any] = [] if service.index is None else service.index.modalities
    searched: dict[str, Any] = {"items": {"type": "string", "enum": names}} if names else {}

    class Search(BaseModel, extra="forbid"):
        k: int = Field(10, ge=1, le=MOST, description="How many to find")
        within: list[str] = Field(
            [], description="Among what; by default all modalities", json_schema_extra=searched
        )

    @app.post("/search", response_model=described.SearchedRows, **absent)
    async def search(request: Request, asked: Annotated[Search, Query()]) -> Response:
        """Return the rows of the run's index that lie nearest to each row."""
        index = service.index
        if index is None:
            raise HTTPException(404, "the run has no index to search; `fusion index` makes one")
        try:
            chosen = index.within(asked.within or None)
        except DataError as error:
            raise invalid(("query", "within"), str(error)) from error
        return await service.answer(request, asks.Hits(index, asked.k, tuple(chosen)))

    @app.get("/health", response_model=described.Health, responses={503: {"model": described.Health}})
    async def health() -> Response:
        """Return whether rows are answered, and by which run."""
        return Answer(service.health(), 200 if service.batches.alive else 503)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Return what is counted, for Prometheus."""
        return Response(generate_latest(service.counts.registry), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        return Answer({"detail": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def misshapen(request: Request, error: RequestValidationError) -> Response:
        problems = [{key: one[key] for key in ("loc", "msg", "type")} for one in error.errors()]
        return Answer({"detail": problems}, 422)

    paths = frozenset(getattr(route, "path", "") for route in app.routes)
    app.add_middleware(Measured, counts=service.counts, paths=paths)
    return app


def _full(error: FullError) -> HTTPException:
    return HTTPException(429, str(error), {"Retry-After": str(error.seconds)})
