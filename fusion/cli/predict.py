"""fusion predict: answer for one row given on the command line."""

from pathlib import Path
from typing import Any

import click

from fusion.cli.arguments import run_argument
from fusion.cli.show import json_option, print_json, registry_argument, table
from fusion.registry import Registry


@click.command(
    "predict",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@run_argument
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
    row = _row(context.args, predictor.model.modalities)
    classes = predictor.recipe.classes
    answers: dict[str, Any] = {}
    if predictor.model.tasks:
        for name, answer in predictor.predict(row).items():
            value, score = answer.value[0].tolist(), answer.score[0].tolist()
            named = isinstance(value, int) and len(classes) == len(score)
            answers[name] = {"value": classes[value] if named else value, "score": score}
    if zero_shot:
        named_by = predictor.recipe.evaluate.zero_shot
        templates, modality = (named_by.templates, named_by.modality) if named_by else (["{}"], "text")
        for name, found in predictor.zero_shot(row, classes, templates, modality).items():
            answers[f"zero-shot {name}"] = {
                "value": found.labels[0],
                "score": found.probabilities[0].tolist(),
            }
    if as_json:
        print_json(answers)
        return
    rows = [(name, answer["value"], f"{max(answer['score']):.3f}") for name, answer in answers.items()]
    table(("task", "answer", "score"), rows)


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
        row[name] = given
    if not row:
        raise click.UsageError(f"no input was given; give any of {known}")
    return row
