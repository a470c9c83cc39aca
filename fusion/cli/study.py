"""fusion study: train the versions of a recipe with several seeds, and compare them."""

import os
from pathlib import Path

import click

from fusion.cli.arguments import overrides_argument, recipe_argument, tiny_option
from fusion.cli.show import findings, json_option, registry_argument
from fusion.registry import Registry


@click.command("study", short_help="Train versions of a recipe, seed by seed; compare.")
@recipe_argument
@overrides_argument
@click.option(
    "--over", multiple=True, metavar="KEY=V1,V2", help="Values of a key, each a version; may be repeated."
)
@click.option("--seeds", type=click.IntRange(min=1), help="How many seeds each version is trained with (3).")
@click.option(
    "--measure", multiple=True, metavar="KEY", help="A key of metrics.json to tell; the first decides."
)
@click.option("--baseline", metavar="NAME", help="The version over which gains are told.")
@click.option("--retention/--no-retention", default=True, help="Measure what was kept of earlier runs.")
@tiny_option
@click.option("--out", type=click.Path(path_type=Path), help="The folder; by default runs/studies/NAME.")
@json_option
@click.pass_context
@registry_argument
def command(
    registry: Registry,
    context: click.Context,
    recipe: str,
    overrides: tuple[str, ...],
    over: tuple[str, ...],
    seeds: int | None,
    measure: tuple[str, ...],
    baseline: str | None,
    retention: bool,
    tiny: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train versions of RECIPE, each with several seeds, and compare them: tables, and a page with plots.

    The versions are those of the recipe's section `study`, at all values of --over. Finished runs are not
    trained again and a stopped one goes on: after an interruption, give the same command. A version that
    fails is told, and the others go on; the exit code is then 1.

    \b
    fusion study fuse_digits --over fuser.name=mean,gate --seeds 3
    fusion study mine.yaml --over sources.train.limit=10,100,1000 --baseline scratch
    torchrun --standalone --nproc-per-node 2 -m fusion study mine.yaml
    """
    from fusion.recipe.axis import values
    from fusion.studies.study import study

    outcome = study(
        recipe,
        overrides,
        out=out,
        over=dict(values(text) for text in over),
        seeds=seeds,
        measure=measure,
        baseline=baseline,
        tiny=tiny,
        retention=retention,
        registry=registry,
    )
    if os.environ.get("RANK", "0") == "0":
        findings(outcome.findings, outcome.page, as_json)
    context.exit(1 if outcome.findings.failed else 0)
