"""fusion merge: make one run of several by merging their weights."""

from pathlib import Path

import click

from fusion.cli.arguments import leave_but_what_is_measured, leave_what_was_trained, numbers, out_option
from fusion.cli.show import json_option, metrics, print_json, registry_argument, tables
from fusion.registry import Registry


def _parts(ctx: click.Context, param: click.Parameter, text: str | None) -> dict[str, list[float]]:
    parts = {}
    for pair in text.split(",") if text else ():
        part, equals, weights = pair.partition("=")
        if not equals or not weights:
            raise click.BadParameter(f"{pair!r} is not written PART=WEIGHT, such as image=0.7", ctx, param)
        parts[part] = numbers(ctx, param, weights.replace(":", ","))
    return parts


@click.command("merge", short_help="Make one run of several, from their weights.")
@click.argument("given", nargs=-1, required=True, metavar="RUN... [KEY=VALUE]...")
@click.option("--method", required=True, help="A merging: average, wise-ft ... (`fusion plugins ls`).")
@click.option("--weights", callback=numbers, help="A number for each run, 1,1,2, or as the method has it.")
@click.option(
    "--parts",
    callback=_parts,
    metavar="PART=WEIGHT,...",
    help="Weights of a modality, fuser or objectives.NAME: image=0.7,audio=0.3, or image=1:1:2 for each run.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="An option of the method.")
@click.option("--base", help="The run or file that all runs started from; by default the `init` of all.")
@click.option("--by", metavar="KEY", help="The metric by which a method chooses; -KEY where less is better.")
@click.option(
    "--curve",
    nargs=2,
    metavar="KEY KEY",
    help="Also measure --weights 0, 0.1 ... 1, and draw the second metric against the first in the report.",
)
@out_option
@json_option
@registry_argument
@click.pass_context
def command(
    context: click.Context,
    registry: Registry,
    given: tuple[str, ...],
    method: str,
    weights: list[float],
    parts: dict[str, list[float]],
    settings: tuple[str, ...],
    base: str | None,
    by: str | None,
    curve: tuple[str, str] | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Merge the weights of finished RUNs, tensor by tensor, and measure the model; the result is a run.

    The runs have the same encoders, width, fuser and objectives. The recipe is that of the first, and
    KEY=VALUE changes what is measured. wise-ft and slerp go from the first run (--weights 0) to the second
    (1); task-arithmetic, ties and dare add up what each run has learned since its `init`; greedy-soup
    chooses runs by a metric, which should not be of the test rows.

    \b
    fusion merge runs/before runs/after --method wise-ft --weights 0.5 --parts image=0.7,audio=0.3
    fusion merge runs/a runs/b runs/c --method greedy-soup --by subsets/image/accuracy \\
        evaluate.sources.test.split=validation
    fusion plugins show ties    # what --set may set
    """
    from fusion.recipe.text import parse
    from fusion.report import merged
    from fusion.transfer.merge import merge

    folders = [text for text in given if "=" not in text]
    overrides = tuple(text for text in given if "=" in text)
    leave_what_was_trained(context, context.command.params[0], overrides)
    leave_but_what_is_measured(context, overrides, "a merged run has the recipe of the first;")
    chosen = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set {setting!r}: write it KEY=VALUE, such as density=0.5", context)
        chosen[key] = parse(f"value: {value}", setting)[0]["value"]
    run = merge(
        folders,
        out,
        method=method,
        settings=chosen,
        weights=weights,
        parts=parts,
        base=base,
        by=by,
        curve=curve or (),
        overrides=overrides,
        registry=registry,
    )
    if as_json:
        print_json(run.metrics)
    else:
        metrics(run.metrics)
        record = run.manifest["merge"]
        tables([*merged.members(record), *merged.stops(record)])
        click.echo(f"run     {run.folder}\nreport  {run.report}")
