"""fusion predict: answer for one row given on the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fusion.cli.show import json_option, print_json, registry_argument, table
from fusion.registry import Registry


@click.command(
    "predict",
    short_help="Answer for one row, given as files or text.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN [--MODALITY VALUE]...")
@click.option(
    "--zero-shot", is_flag=True, help="Also classify by distance to the names of the recipe's classes."
)
@json_option
@click.pass_context
@registry_argument
def command(registry: Registry, context: click.Context, run: Path, zero_shot: bool, as_json: bool) -> None:
    """Answer what RUN was trained for, for one row: any of its modalities, as `--MODALITY VALUE`.

    A value is a file, or the text itself where the modality is read from text.

    \b
    fusion predict runs/bind_digits --image seven.png
    fusion predict runs/bind_digits --audio seven.wav --text "the digit seven" --zero-shot
    """
    from fusion.inference import load

    predictor = load(run, registry=registry)
    recipe, tasks = predictor.recipe, predictor.model.tasks
    row = _row(context.args, predictor.model.modalities)
    answers: dict[str, dict[str, Any]] = {}
    if tasks or not zero_shot:  # without a task it says so
        for name, answer in predictor.predict(row).items():
            value, score = answer.value[0].tolist(), answer.score[0].tolist()
            if tasks[name].target == recipe.evaluate.target:
                value = _named(value, score, recipe.classes)
            answers[name] = {"value": value, "score": score}
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
    if as_json:
        print_json(answers)
    else:
        table(("task", "answer", "score"), [(name, *_written(**answer)) for name, answer in answers.items()])


def _row(arguments: list[str], modalities: tuple[str, ...]) -> dict[str, str]:
    known = ", ".join(f"--{name}" for name in modalities)
    row: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or name not in modalities:
            raise click.UsageError(f"{argument!r} is not a modality of this run; known: {known}")
        given = value if equals else next(rest, None)
        if given is None:
            raise click.UsageError(f"{flag} needs a value: a file or a text")
        if name in row:
            raise click.UsageError(f"{flag} is given twice; this answers for one row")
        row[name] = given
    if not row:
        raise click.UsageError(f"no input was given; give any of {known}")
    return row


def _named(value: Any, score: Any, classes: Sequence[str]) -> Any:
    return classes[value] if isinstance(value, int) and len(score) == len(classes) else value


def _written(value: Any, score: Any) -> tuple[str, str]:
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
