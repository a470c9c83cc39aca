"""fusion data: what the rows of a recipe's sources hold, before anything is trained."""

from pathlib import Path

import click

from fusion.cli.arguments import html_option, overrides_argument, recipe_argument
from fusion.cli.show import json_option, print_json, registry_argument, table, written
from fusion.registry import Registry


@click.command("data", short_help="Look at the rows of a recipe's sources.")
@recipe_argument
@overrides_argument
@click.option(
    "--sample", default=200, show_default=True, type=click.IntRange(1), help="Rows of each source to read."
)
@html_option("Write a page with pictures, sounds and texts, as they are and as training varies them.")
@click.option("--tiny", is_flag=True, help="Tiny encoders: look at the rows without the weights.")
@json_option
@registry_argument
def command(
    registry: Registry,
    recipe: str,
    overrides: tuple[str, ...],
    sample: int,
    html: Path | None,
    tiny: bool,
    as_json: bool,
) -> None:
    """Read a sample of every source of RECIPE and tell what is in it.

    Prints how many rows have each modality and target, how many are of each class, and which cannot be
    read and why.

    \b
    fusion data bind_digits --html data.html
    """
    from fusion.picks import complete, shrink
    from fusion.recipe.file import read_recipe
    from fusion.report.preview import render, told
    from fusion.training.preview import preview

    wanted = read_recipe(recipe, overrides, registry)
    chosen = (shrink if tiny else complete)(wanted, registry)
    found = preview(chosen, registry, sample)
    if html is not None:
        with written(html):
            render(chosen.name, found, chosen.classes, html)
    if as_json:
        print_json([_plain(part._asdict()) for part in found])
        return
    for one in told(found, chosen.classes):
        table(one.columns, one.rows, one.caption)
    for part in found:
        if part.unread:
            read = ", ".join((*part.present, *part.targets))
            click.echo(f"nothing reads {', '.join(part.unread)} of {part.source}; the recipe reads {read}")
    if html is not None:
        click.echo(f"page  {html}")


def _plain(part: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in part.items() if key != "shown"}
