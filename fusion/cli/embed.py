"""fusion embed: write the vectors of a whole source to a parquet file."""

from pathlib import Path

import click

from fusion.cli.arguments import measured_argument, run_argument
from fusion.cli.show import registry_argument, warn
from fusion.registry import Registry


@click.command("embed", short_help="Write the vectors of a source to parquet.")
@run_argument
@measured_argument
@click.option(
    "--source",
    help="A source by its name in `evaluate.sources` or `sources` of the recipe; by default the first.",
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="The parquet file to write."
)
@registry_argument
def command(registry: Registry, run: Path, overrides: tuple[str, ...], source: str | None, out: Path) -> None:
    """Encode every row of a source with RUN and write source, row, target, vectors and fused vector.

    A vector is null where the modality is absent. Rows that cannot be read are left out and counted.

    \b
    fusion embed runs/bind_digits --source test -o digits.parquet
    fusion embed runs/bind_digits evaluate.sources.test.split=train --source test -o train.parquet
    """
    from fusion.evaluation.embed import embed
    from fusion.inference import load
    from fusion.recipe_file import read_recipe

    model = load(run, registry=registry).model
    recipe = read_recipe(run / "recipe.yaml", overrides, registry)
    name = source or next(iter(recipe.evaluate.sources or recipe.sources))
    written, bad = embed(model, recipe, name, out, registry)
    if bad:
        warn(f"{len(bad)} rows of {name} cannot be read, such as row {bad[0].row}: {bad[0].reason}")
    click.echo(f"{written} rows of {name} in {out}")
