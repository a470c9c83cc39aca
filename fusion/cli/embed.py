"""fusion embed: write the vectors of a whole source to a parquet file."""

from pathlib import Path

import click

from fusion.cli.arguments import overrides_argument, run_argument
from fusion.cli.show import registry_argument
from fusion.registry import Registry


@click.command("embed")
@run_argument
@overrides_argument
@click.option(
    "--source", help="A source of the run's recipe, by its name in `sources` or `evaluate.sources`."
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
    from fusion.errors import DataError, unknown
    from fusion.evaluation.embed import embed
    from fusion.recipe_file import read_recipe

    recipe = read_recipe(run / "recipe.yaml", overrides, registry)
    offered = {**recipe.sources, **recipe.evaluate.sources}
    name = source or next(iter(recipe.evaluate.sources or recipe.sources))
    if name not in offered:
        raise DataError(unknown("source", name, offered))
    written, bad = embed(run, name, offered[name], recipe.evaluate.target, out, registry)
    click.echo(f"{written} rows of {name} in {out}" + (f"; {bad} could not be read" if bad else ""))
