"""fusion push: write a run to the hub, with a card."""

from pathlib import Path

import click

from fusion.cli.arguments import run_argument
from fusion.cli.show import json_option, print_json, registry_argument, warn
from fusion.registry import Registry


@click.command("push", short_help="Write a run and its card to the Hugging Face hub.")
@run_argument
@click.argument("name", metavar="ORG/NAME")
@click.option("--branch", help="Write to this branch, which is made where it is not there; by default main.")
@click.option("--private", is_flag=True, help="Make the repository a private one, where there is none yet.")
@click.option("--licence", "--license", help="Of the run, as the hub names it: apache-2.0, mit, other ...")
@click.option("--dry-run", is_flag=True, help="Print the card and the files; write nothing, ask nobody.")
@json_option
@registry_argument
def command(
    registry: Registry,
    run: Path,
    name: str,
    branch: str | None,
    private: bool,
    licence: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write what RUN is built from, what was measured and a card to the repository ORG/NAME, in one commit.

    `hf auth login` or HF_TOKEN says who you are, HF_ENDPOINT where the hub is. Report, ledger and
    checkpoints are not written, as they may show rows of the data. The run can then be used from anywhere:

    \b
    fusion push runs/bind_digits me/digits --licence apache-2.0
    fusion predict me/digits@main --text "the digit seven"
    """
    from fusion.hub.card import card
    from fusion.hub.places import warning
    from fusion.hub.push import files, push
    from fusion.run import Run

    given = Run(run)
    written = files(given)
    told = warning(written)
    if told:
        warn(told)
    if dry_run:
        names = [path.relative_to(given.folder).as_posix() for path in written]
        text = card(given, name, licence)
        if as_json:
            print_json({"files": names, "card": text})
            return
        click.echo(text)
        click.echo(f"Files: README.md, {', '.join(names)}")
        return
    made = push(given, name, branch=branch, private=private, licence=licence)
    if as_json:
        print_json({"name": made.name, "url": made.url})
        return
    click.echo(f"run   {made.name}\npage  {made.url}")
