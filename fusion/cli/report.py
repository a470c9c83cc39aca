"""fusion report: write the report of a run again."""

from pathlib import Path

import click

from fusion.cli.arguments import run_argument


@click.command("report", short_help="Write the report of a run again.")
@run_argument
def command(run: Path) -> None:
    """Render RUN/report.html again from the files of the run, and print its path."""
    from fusion.report.page import render

    click.echo(render(run))
