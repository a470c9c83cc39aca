"""The page of the command line: the help of every command."""

from collections.abc import Iterator

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from fusion.cli import cli


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Write the page."""
    parts = ["# Commands", "What `--help` says of each."]
    for path, text in _helps(cli, "fusion"):
        parts.append(f"## {path}\n\n```text\n{text}\n```")
    files.append(File.generated(config, "commands.md", content="\n\n".join(parts)))


def _helps(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=path, max_content_width=88, terminal_width=88)
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _helps(inner, f"{path} {name}")
