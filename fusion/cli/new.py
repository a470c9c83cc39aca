"""fusion new: a project or a plugin to begin with."""

from pathlib import Path

import click

from fusion.cli.show import registry_argument
from fusion.registry import Registry


@click.command("new", short_help="Start a project, or a plugin, in a folder.")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--plugin", metavar="NAME", help="A plugin with an encoder for the modality NAME.")
@registry_argument
def command(registry: Registry, folder: Path | None, plugin: str | None) -> None:
    """Write a project into FOLDER: a recipe, rows of data, a fuser of your own and its tests.

    With --plugin, a distribution that brings a new modality; FOLDER is then fusion-NAME by default.

    \b
    fusion new birds && cd birds && fusion train recipe.yaml
    fusion new --plugin thermal && pip install -e fusion-thermal && fusion plugins check thermal-net
    """
    from fusion.new.scaffold import new_plugin, new_project

    if plugin is not None:
        folder = folder or Path(f"fusion-{plugin.replace('_', '-')}")
        written = new_plugin(plugin, folder, registry)
    elif folder is not None:
        written = new_project(folder)
    else:
        raise click.UsageError("Name a folder, such as `fusion new birds`, or a --plugin.")
    for path in written:
        if path.suffix not in (".png", ".wav"):
            click.echo(path)
    click.echo(f"next: cd {folder}, and see README.md")
