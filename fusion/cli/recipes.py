"""fusion recipes: list, show and copy the recipes that come with fusion."""

import re
from pathlib import Path

import click

from fusion.cli.arguments import RecipeName
from fusion.cli.show import json_option, print_json, table
from fusion.errors import RunError
from fusion.recipe.file import find, shipped


@click.group("recipes", invoke_without_command=True, short_help="List, show and copy the shipped recipes.")
@click.pass_context
def command(context: click.Context) -> None:
    """List, show and copy the recipes that come with fusion."""
    if context.invoked_subcommand is None:
        context.invoke(ls, as_json=False)


@command.command()
@json_option
def ls(as_json: bool) -> None:
    """List the recipes: name and what it shows."""
    rows = [(name, about(path)) for name, path in shipped().items()]
    if as_json:
        print_json([{"name": name, "about": text} for name, text in rows])
    else:
        table(("recipe", "what it shows"), rows)


@command.command()
@click.argument("name", type=RecipeName())
def show(name: str) -> None:
    """Print a recipe."""
    click.echo(find(name).read_text("utf-8"), nl=False)


@command.command()
@click.argument("name", type=RecipeName())
@click.argument("to", type=click.Path(path_type=Path), default=Path())
def copy(name: str, to: Path) -> None:
    """Copy a recipe to a file or folder.

    It is yours to change then: `fusion train MINE.yaml`.
    """
    source = find(name)
    target = to / source.name if to.is_dir() else to
    if target.exists():
        raise RunError(f"{target} exists; name another file")
    target.write_text(source.read_text("utf-8"), "utf-8")
    click.echo(target)


def about(path: Path) -> str:
    """Return the first sentence of the comment that heads a recipe, after the line of its command."""
    lines = []
    for line in path.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.strip("# "))
    text = " ".join(lines[1:]).strip()
    return re.split(r"(?:\.|(?<=\?)) (?=[A-Z])", text)[0].rstrip(".")  # no end is the point of "et al. 2022"
