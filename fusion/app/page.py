"""The page: a place for a sample of each modality, names of classes, and the answer beside them."""

from pathlib import Path
from typing import Any, cast

import gradio as gr
from fastapi import FastAPI
from starlette.types import ASGIApp

from fusion.app.answers import Answers
from fusion.app.guard import Guard
from fusion.encoder import Form

WAITING = 64
"""People who may wait for an answer at once; one is answered after the other."""
SESSIONS = 2 * WAITING
"""Browsers of which gradio keeps the page's configuration, 90 kB each; it makes that of others again."""
GROWS = 4 / 3
"""By how much base64 is longer than what it stands for."""
DROP = """
<label class="fusion-drop">
<b>${label}</b>
<input type="file" aria-label="${label}">
<span class="shown">Drop a file here, or choose one</span>
</label>
"""
JSON: dict[Form, str] = {
    "array": '{"array": [[0.1, 0.2], [0.3, 0.4]], "rate": 16000}',
    "record": '{"record": {"column": 1.5, "other": "a word"}}',
}


def build(answers: Answers, most: int) -> ASGIApp:
    """Return the ASGI application of the page, to which samples of `most` bytes together can be given."""
    here = Path(__file__).parent
    blocks = _blocks(answers, most, (here / "drop.js").read_text("utf-8"))
    page = gr.mount_gradio_app(
        FastAPI(openapi_url=None, docs_url=None, redoc_url=None),
        blocks,
        path="/",
        css=(here / "page.css").read_text("utf-8"),
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        footer_links=[],
        ssr_mode=False,
        show_error=False,
    )
    return Guard(page, round(most * GROWS) + 100_000)  # what else a question holds


def _blocks(answers: Answers, most: int, script: str) -> gr.Blocks:
    recipe = answers.predictor.recipe
    with gr.Blocks(title=f"fusion: {recipe.name}", analytics_enabled=False) as blocks:
        gr.Markdown(f"# {recipe.name}\n\nGive any of them, or several; what is absent is not guessed.")
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                given = [_place(name, takes, most, script) for name, takes in answers.gate.takes.items()]
                labels = gr.Textbox(
                    label="Your own classes, a line each",
                    lines=3,
                    visible=answers.namer is not None,
                    elem_id="labels",
                )
                asked = gr.Button("Answer", variant="primary", elem_id="ask")
            with gr.Column(scale=3, min_width=300):
                answer = gr.HTML(elem_id="answer")
        gr.on(
            [asked.click],
            answers,
            [labels, *given],
            [answer],
            concurrency_limit=1,
            api_name=False,
            show_progress="minimal",
        )
    blocks.queue(max_size=WAITING)
    blocks.state_session_capacity = SESSIONS
    return cast(gr.Blocks, blocks)


def _place(name: str, takes: tuple[Form, ...], most: int, script: str) -> Any:
    """Return where a sample of a modality is put in, by the forms in which it is taken."""
    if "text" in takes:
        return gr.Textbox(label=name, lines=2, elem_id=f"given-{name}")
    if "bytes" in takes:
        return gr.HTML(
            "",
            label=name,
            html_template=DROP,
            js_on_load=script,
            most=most,
            elem_id=f"given-{name}",
        )
    example = " or ".join(JSON[form] for form in takes if form in JSON)
    return gr.Textbox(label=name, lines=3, placeholder=example, elem_id=f"given-{name}")
