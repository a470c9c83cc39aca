"""What the library keeps of each browser has an end."""

import asyncio
from typing import Any

from starlette.routing import Mount

from fusion import Registry, Run, load
from fusion.app.answers import Answers
from fusion.app.page import SESSIONS, WAITING, build


def test_of_no_more_browsers_than_are_told_something_is_kept(tiny_run: Run, registry: Registry) -> None:
    answers = Answers(load(tiny_run, "cpu", registry))

    async def built() -> Any:  # where a loop runs, so that gradio makes none that it never closes
        return build(answers, 1000)

    page = asyncio.run(built())
    [holder] = [route.app.state_holder for route in page.app.routes if isinstance(route, Mount)]
    for number in range(SESSIONS + 3):
        assert holder[f"browser {number}"] is not None
    assert len(holder.session_data) == SESSIONS > WAITING
    assert "browser 0" not in holder.session_data
