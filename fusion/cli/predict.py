"""fusion predict: answer for one row given on the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusion.cli.arguments import TAKES_A_ROW, asked_argument, html_option, row_of
from fusion.cli.show import json_option, print_json, registry_argument, table, tables, warn, written
from fusion.registry import Registry

if TYPE_CHECKING:
    from fusion.explain.explain import Explanation


@click.command(
    "predict",
    short_help="Answer for one row, given as files or text.",
    context_settings=TAKES_A_ROW,
)
@asked_argument
@click.option(
    "--zero-shot", is_flag=True, help="Also classify by distance to the names of the recipe's classes."
)
@click.option(
    "--explain",
    is_flag=True,
    help="Also tell what each modality contributes, and what the fuser takes of it.",
)
@html_option(
    "With --explain: write a page, also with what speaks for the answer in each input (needs captum)."
)
@click.option(
    "--nearest",
    type=click.IntRange(0),
    default=0,
    help="With --explain: so many rows of the training that are nearest; this encodes all of them.",
)
@click.option("--source", help="With --nearest: look among the rows of this source of the recipe only.")
@click.option(
    "--embedded",
    type=click.Path(path_type=Path),
    help="With --nearest: read what `fusion embed` wrote, a file or a folder of files, and encode nothing.",
)
@json_option
@click.pass_context
@registry_argument
def command(
    registry: Registry,
    context: click.Context,
    run: Path,
    zero_shot: bool,
    explain: bool,
    html: Path | None,
    nearest: int,
    source: str | None,
    embedded: Path | None,
    as_json: bool,
) -> None:
    """Answer what RUN was trained for, for one row: any of its modalities, as `--MODALITY VALUE`.

    A value is a file, the text itself where the modality is read from text, or a table's row as JSON.

    \b
    fusion predict runs/bind_digits --image seven.png
    fusion predict runs/bind_digits --audio seven.wav --text "the digit seven" --zero-shot
    fusion predict runs/bind_digits --image seven.png --explain --nearest 5 --html why.html
    """
    if not explain and (html or nearest):
        raise click.UsageError("--html and --nearest go with --explain")
    if not nearest and (source or embedded):
        raise click.UsageError("--source and --embedded go with --nearest")
    from fusion.inference import load

    predictor = load(run, registry=registry)
    recipe, tasks = predictor.recipe, predictor.model.tasks
    row = row_of(context.args, predictor.model.processors)
    answers: dict[str, dict[str, Any]] = {}
    if tasks or not zero_shot:  # without a task it says so
        for name, answer in predictor.predict(row).items():
            value, score = answer.value[0].tolist(), answer.score[0].tolist()
            label = predictor.label(name, value, score)
            answers[name] = {"value": value if label is None else label, "score": score}
    if zero_shot:
        named_by = recipe.evaluate.zero_shot
        templates, modality = (named_by.templates, named_by.modality) if named_by else (["{}"], "text")
        if not recipe.classes:
            raise click.UsageError("--zero-shot needs the names of the classes; the run's recipe has none")
        if set(row) == {modality}:
            raise click.UsageError(f"--zero-shot names classes by {modality}; give another modality too")
        for name, found in predictor.zero_shot(row, recipe.classes, templates, modality).items():
            score = found.probabilities[0].tolist()
            answers[f"zero-shot {name}"] = {"value": found.labels[0], "score": score}
    said = {name: _said(**answer) for name, answer in answers.items()}
    explained = None
    if explain:
        explained = predictor.explain(
            row, attribute=html is not None, nearest=nearest, source=source, embedded=embedded
        )
        if html is not None:
            from fusion.report.explained import render

            words = {name: " ".join(said[name]) for name in tasks}
            with written(html):
                render(recipe.name, row, explained, words, predictor.model.processors, html)
    if as_json:
        print_json(answers if explained is None else _joined(answers, explained))
        return
    table(("task", "answer", "score"), [(name, *words) for name, words in said.items()])
    if explained is not None:
        _print(explained, {name: words[0] for name, words in said.items()})
    if html is not None:
        click.echo(f"page  {html}")


def _print(explained: "Explanation", answers: dict[str, str]) -> None:
    from fusion.report.explained import NO_EFFECT, told

    tables(told(explained, answers))
    for name, reason in explained.unattributed.items():
        warn(f"{name} is not attributed: {reason}")
    if explained.shares:
        click.echo(NO_EFFECT)


def _joined(answers: dict[str, dict[str, Any]], explained: "Explanation") -> dict[str, Any]:
    """Put what contributes to an answer beside it; what holds for all answers is under "explanation"."""
    joined: dict[str, Any] = {name: dict(answer) for name, answer in answers.items()}
    for name, told in explained.contributions.items():
        joined[name] |= {
            "nothing": told.nothing[0].tolist(),
            "contributions": {modality: part[0].tolist() for modality, part in told.parts.items()},
        }
    near = {
        name: [{key: value for key, value in one._asdict().items() if key != "sample"} for one in some]
        for name, some in explained.nearest.items()
    }
    joined["explanation"] = {"shares": explained.shares, "nearest": near}
    return joined


def _said(value: Any, score: Any) -> tuple[str, str]:
    """Say an answer and how sure it is: a class, numbers (which are their own score), or flags."""
    match value:
        case float():
            return f"{value:.4g}", ""
        case list() if value == score:
            return ", ".join(f"{number:.4g}" for number in value), ""
        case list():
            chosen = [index for index, flag in enumerate(value) if flag]
            return ", ".join(map(str, chosen)) or "none", ", ".join(f"{score[index]:.3f}" for index in chosen)
        case _:
            return str(value), f"{max(score):.3f}"
