"""fusion index: keep the vectors of a source in a run, to search in them."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusion.cli.arguments import launch_option, measured_argument, rows, run_argument, source_option
from fusion.cli.show import json_option, print_json, registry_argument, table, warn
from fusion.launch.start import start as become
from fusion.registry import Registry

if TYPE_CHECKING:
    from fusion.search.record import Asked
    from fusion.search.rows import Rows

KINDS = ("auto", "exact", "int8", "ivf", "hnsw")


@click.command("index", short_help="Keep the vectors of a source, to search.")
@run_argument
@measured_argument
@source_option
@click.option("--name", help="Of the index; by default that of the source.")
@click.option(
    "--remove", callback=rows, metavar="ROWS", help="Rows to leave out from now on, such as 3,10-12."
)
@click.option(
    "--add", callback=rows, metavar="ROWS", help="Rows to take in again, or to encode again as they changed."
)
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    help="How it is searched: ivf and hnsw need faiss. By default as before; at first auto, exact below a "
    "million rows, and ivf above.",
)
@launch_option
@json_option
@registry_argument
def command(
    registry: Registry,
    run: Path,
    overrides: tuple[str, ...],
    source: str | None,
    name: str | None,
    remove: "Rows",
    add: "Rows",
    kind: "Asked | None",
    launch: str | None,
    as_json: bool,
) -> None:
    """Encode the rows of a source with RUN and keep their vectors in it, in RUN/index/NAME.

    The first time this makes the index, afterwards it brings it up to date: rows that are not there yet are
    encoded, rows that the source no longer has are taken out, and so is what --remove names, until --add
    names it. A row has a vector for each modality that it has, and a fused one. A kill loses nothing: the
    index is as it was before, and the same command goes on after what was encoded.

    \b
    fusion index runs/bind_digits --source test
    fusion index runs/bind_digits --source test --remove 3,10-12
    fusion index runs/bind_digits --source test --add 3 --kind int8
    fusion search runs/bind_digits --text "the digit seven" --in image
    """
    both = add.common(remove)
    if both is not None:
        raise click.UsageError(f"row {both} is both in --add and in --remove")
    if launch is not None:
        become(launch, sys.argv[1:])
    from fusion.inference import load
    from fusion.recipe.file import read_recipe
    from fusion.run import Run
    from fusion.search.update import update
    from fusion.training.launch import start

    accelerator = start()
    opened = Run(run)
    model = load(opened, accelerator.device, registry).model
    recipe = read_recipe(run / "recipe.yaml", overrides, registry)
    chosen = source or next(iter(recipe.evaluate.sources or recipe.sources))
    made = update(
        opened,
        model,
        recipe,
        chosen,
        registry,
        accelerator,
        name=name,
        add=add,
        remove=remove,
        kind=kind,
        say=partial(click.echo, err=True),
    )
    if not accelerator.is_main_process:
        return
    if made.bad:
        first = made.bad[0]
        warn(f"{len(made.bad)} rows of {chosen} cannot be read, such as row {first.row}: {first.reason}")
    if as_json:
        told = made.record.model_dump(mode="json", exclude={"options"})
        print_json({**told, "added": made.added, "gone": made.gone, "there": made.rows, "bad": len(made.bad)})
        return
    table(
        ("modality", "vectors", "kind", "effort", "recall@10"),
        [
            (name, held.vectors, held.kind, held.effort, f"{held.recall:.3f}")
            for name, held in made.record.modalities.items()
        ],
    )
    changes = f"{made.added} encoded, {made.gone} taken out" if made.added or made.gone else "nothing is new"
    click.echo(f"{made.rows} rows of {chosen} in {made.folder}; {changes}")
