"""fusion embed: write the vectors of a whole source to parquet."""

import sys
from functools import partial
from pathlib import Path

import click

from fusion.cli.arguments import launch_option, measured_argument, run_argument, source_option
from fusion.cli.show import registry_argument, warn
from fusion.launch.start import start as become
from fusion.registry import Registry

PRECISIONS = ("float32", "float16", "int8", "binary")


@click.command("embed", short_help="Write the vectors of a source to parquet.")
@run_argument
@measured_argument
@source_option
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to write, if it ends in .parquet; else a folder of parts.",
)
@click.option(
    "--part", "each", default=16_384, show_default=True, type=click.IntRange(1), help="Rows of a part."
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    show_default=True,
    help="Of vectors: int8 within the ranges of 1,024 rows, which the file tells; binary has 8 signs a byte.",
)
@launch_option
@registry_argument
def command(
    registry: Registry,
    run: Path,
    overrides: tuple[str, ...],
    source: str | None,
    out: Path,
    each: int,
    precision: str,
    launch: str | None,
) -> None:
    """Encode every row of a source with RUN and write source, row, target, vectors and fused vector.

    A vector is null where the modality is absent. Rows that cannot be read are left out and counted. Into a
    folder several processes write, and the same command again goes on after the parts that are there.

    \b
    fusion embed runs/bind_digits --source test -o digits.parquet
    fusion embed runs/bind_digits evaluate.sources.test.split=train --source test -o train.parquet
    fusion embed runs/bind_digits -o digits8.parquet --precision int8
    torchrun --standalone --nproc-per-node 2 -m fusion embed runs/bind_digits --source test -o digits
    """
    if launch is not None:
        become(launch, sys.argv[1:])
    from fusion.evaluation.embed import embed
    from fusion.inference import load
    from fusion.recipe.file import read_recipe
    from fusion.run import Run
    from fusion.training.launch import start

    accelerator = start()
    opened = Run(run)
    model = load(opened, accelerator.device, registry).model
    recipe = read_recipe(run / "recipe.yaml", overrides, registry)
    name = source or next(iter(recipe.evaluate.sources or recipe.sources))
    weights = opened.manifest["files"][opened.model_file.name]
    say = partial(click.echo, err=True)
    options = {"weights": weights, "each": each, "precision": precision}
    done = embed(model, recipe, name, out, registry, accelerator, **options, say=say)
    if not accelerator.is_main_process:
        return
    if done.bad:
        first = done.bad[0]
        warn(f"{len(done.bad)} rows of {name} cannot be read, such as row {first.row}: {first.reason}")
    there = f"; {done.kept} of {done.parts} parts were there" if done.kept else ""
    click.echo(f"{done.rows} rows of {name} in {out}{there}")
