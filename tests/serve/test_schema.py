"""What OpenAPI tells is what happens: schemathesis sends what fits and what does not, and checks answers."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema

from fusion import Predictor
from fusion.search import Index
from fusion.serve.api import Service, build
from fusion.serve.limits import Limits
from fusion.serve.reading import FORM

OPERATIONS = [
    ("POST", "/encode"),
    ("POST", "/predict"),
    ("POST", "/search"),
    ("GET", "/health"),
    ("GET", "/metrics"),
]


@pytest.fixture(scope="module")
def schema(predictor: Predictor, index: Index) -> Iterator[BaseSchema]:
    service = Service(predictor, Limits(rows=8), index=index)
    app = build(service)
    app.router.lifespan_context = lambda app: nullcontext()  # each request would begin and end the service
    yield schemathesis.openapi.from_asgi("/openapi.json", app)
    service.batches.close()


def test_all_operations_are_tried(schema: BaseSchema) -> None:
    assert [(one.ok().method.upper(), one.ok().path) for one in schema.get_all_operations()] == OPERATIONS


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [(*one, GenerationMode.POSITIVE) for one in OPERATIONS]
    + [(*one, GenerationMode.NEGATIVE) for one in OPERATIONS[:3]],  # the others take nothing
)
def test_an_operation_is_as_it_is_described(
    schema: BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    codes: set[int] = set()
    cases = schema[path][method].as_strategy(generation_mode=mode)
    if mode is GenerationMode.NEGATIVE:  # in a form null is a text as well, or four bytes of a file
        cases = cases.filter(lambda case: case.media_type != FORM)

    @given(case=cases)
    @settings(max_examples=25, suppress_health_check=HealthCheck)
    def ask(case: Case) -> None:
        codes.add(case.call_and_validate().status_code)

    ask()
    assert 200 in codes if mode is GenerationMode.POSITIVE else codes & {400, 415, 422}
