"""fusion tune: look for the values of a recipe's keys with which a metric is best."""

import os
from pathlib import Path

import click

from fusion.cli.arguments import overrides_argument, recipe_argument, tiny_option
from fusion.cli.show import findings, json_option, registry_argument
from fusion.registry import Registry


@click.command("tune", short_help="Look for values with which a metric is best.")
@recipe_argument
@overrides_argument
@click.option(
    "--over",
    required=True,
    multiple=True,
    metavar="KEY=V1,V2|KIND:LOW:HIGH",
    help="Where to look: values of a key, or a range of the kind float, log, int or logint; may be repeated.",
)
@click.option("--by", required=True, metavar="KEY", help="A key of metrics.json; -KEY: less of it is better.")
@click.option(
    "--trials",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="Trainings, those there included.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of the search.")
@tiny_option
@click.option("--out", type=click.Path(path_type=Path), help="The folder; by default runs/tunes/NAME.")
@json_option
@click.pass_context
@registry_argument
def command(
    registry: Registry,
    context: click.Context,
    recipe: str,
    overrides: tuple[str, ...],
    over: tuple[str, ...],
    by: str,
    trials: int,
    seed: int,
    tiny: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train RECIPE again and again with other values of some keys, where they seem good, and tell the best.

    The first trial is the recipe as it is, if that lies in --over. The folder gets best.yaml, the recipe with
    the best values, and a page with what mattered. After an interruption, or for more trials, give the same
    command; a trial that fails is told, and the exit code is then 1. To compare given versions seed by seed,
    see `fusion study`.

    \b
    fusion tune fuse_digits --over train.lr=log:1e-4:1e-2 --by subsets/image+text+audio/accuracy
    fusion tune mine.yaml --over fuser.name=gate,attend --over width=int:32:256 --by train/best_score
    """
    from fusion.recipe.axis import axis
    from fusion.studies.tune import tune

    found = tune(
        recipe,
        overrides,
        over=dict(axis(text) for text in over),
        by=by,
        trials=trials,
        seed=seed,
        out=out,
        tiny=tiny,
        registry=registry,
    )
    if os.environ.get("RANK", "0") == "0":
        findings(found.tuned, found.page, as_json)
        if not as_json:
            click.echo(f"best    {found.best}")
    context.exit(1 if any(one.failed for one in found.tuned.tried) else 0)
