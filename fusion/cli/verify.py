"""fusion verify: say whether the files of a run are what was written."""

from pathlib import Path

import click

from fusion.cli.arguments import run_argument
from fusion.cli.show import json_option, print_json, registry_argument, table
from fusion.registry import Registry


@click.command("verify", short_help="Say whether the files of a run are whole.")
@run_argument
@json_option
@registry_argument
def command(registry: Registry, run: Path, as_json: bool) -> None:
    """Compare the files of RUN and of its checkpoints with their SHA-256; exit code 1 when one is damaged.

    Also tells which plugins and libraries are of another version than those that made it. A run that
    is not finished has its checkpoints only.
    """
    from fusion.run import Run
    from fusion.training.verify import verify

    found = verify(Run(run), registry)
    if as_json:
        told = {"whole": found.whole, "advice": found.advice(), **found._asdict()}
        print_json({**told, "versions": [version._asdict() for version in found.versions]})
    else:
        if found.files:
            table(("file", "state"), [(name, fault or "whole") for name, fault in found.files.items()])
        if found.versions:
            table(("made with", "then", "now"), found.versions)
        for line in found.advice():
            click.echo(line)
        if not found.finished:
            missing = "" if found.files else ", and has no checkpoint yet"
            click.echo(f"The run is not finished{missing}: `--resume` it.")
    if not found.whole:
        raise SystemExit(1)
