"""fusion check: a dry run that says whether a recipe would train, and what it needs."""

from collections.abc import Mapping
from typing import Any

import click

from fusion.cli.arguments import overrides_argument, recipe_argument
from fusion.cli.show import json_option, print_json, registry_argument, table
from fusion.registry import Registry


@click.command("check", short_help="Try one step of a recipe: would it train?")
@recipe_argument
@overrides_argument
@json_option
@registry_argument
def command(registry: Registry, recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Build everything RECIPE names, read one batch, run one step without keeping it, and say what it takes.

    Prints rows per source, parameters per part, the groups of the optimiser, losses and memory.
    """
    from fusion.recipe.file import read_recipe
    from fusion.training.dry_run import dry_run

    found = dry_run(read_recipe(recipe, overrides, registry), registry)
    if as_json:
        nested = {key: _plain(getattr(found, key)) for key in ("sources", "parts")}
        groups = [group._asdict() for group in found.groups]
        lesson = None if found.teacher is None else found.teacher._asdict()
        print_json(found._asdict() | nested | {"groups": groups, "teacher": lesson})
        return
    table(
        ("source", "rows", "rows of a batch"),
        [
            (name, "stream" if share.rows is None else share.rows, share.in_batch)
            for name, share in found.sources.items()
        ],
    )
    table(("modality", "present in the batch"), list(found.present.items()))
    table(
        ("part", "parameters", "trained", "component"),
        [
            (name, f"{part.parameters:,}", f"{part.trained:,}", part.origin)
            for name, part in found.parts.items()
        ],
    )
    table(
        ("learning rate", "weight decay", "parameters", "of"),
        [
            (f"{group.lr:.3g}", f"{group.weight_decay:g}", f"{group.parameters:,}", ", ".join(group.parts))
            for group in found.groups
        ],
    )
    table(("loss", "value"), [(name, f"{value:.4f}") for name, value in found.losses.items()])
    if found.batch is not None:
        click.echo(f"batch   {found.batch}")
    if found.init is not None:
        click.echo(f"init    {found.init}")
    if found.teacher is not None:
        rows, seconds, disk = found.teacher
        click.echo(
            f"teacher goes over {rows:,} rows in about {seconds:,.0f} s here, and leaves {disk:,.1f} MB"
        )
    if found.prior is not None:
        share = 100 * found.prior_seconds / found.seconds
        click.echo(f"prior   {found.prior}")
        click.echo(f"        {1000 * found.prior_seconds:.2f} ms more for each step, {share:.2g} %")
    click.echo(
        f"memory  about {found.memory_mb:,.0f} MB for weights, gradients and optimiser; "
        f"{found.peak_mb:,.0f} MB at peak"
    )
    click.echo(f"time    {found.seconds:.2f} s for one step here, about {found.total_seconds:,.0f} s for all")


def _plain(records: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: record._asdict() for name, record in records.items()}
