"""fusion evaluate: measure a run again, on its own or on other evaluation sources, or under stress."""

import os
import sys
from pathlib import Path

import click

from fusion.cli.arguments import launch_option, listed, measured_argument, numbers, run_argument
from fusion.cli.show import json_option, metrics, print_json, registry_argument, tables
from fusion.launch.start import start
from fusion.registry import Registry


@click.command("evaluate", short_help="Measure a run again, also on other sources.")
@run_argument
@measured_argument
@click.option(
    "--stress", metavar="NAME", help="Measure RUN while its modalities are damaged: corruption, attack."
)
@click.option("--kinds", callback=listed, metavar="A,B", help="Of a stress: the kinds; by default all.")
@click.option(
    "--severities", callback=numbers, metavar="1,5", help="Of a stress: how much; by default all there are."
)
@click.option(
    "--rows", type=click.IntRange(1), help="Of a stress: rows of each source, drawn; by default all."
)
@launch_option
@json_option
@registry_argument
@click.pass_context
def command(
    context: click.Context,
    registry: Registry,
    run: Path,
    overrides: tuple[str, ...],
    stress: str | None,
    kinds: list[str],
    severities: list[float],
    rows: int | None,
    launch: str | None,
    as_json: bool,
) -> None:
    """Measure RUN on the evaluation sources of its recipe and print the metrics; nothing is written.

    Overrides change what is measured, not what was trained:

    \b
    fusion evaluate runs/bind_digits evaluate.sources.test.noise=0.3

    With --stress, each modality is damaged in turn, in several kinds and severities, and what was measured
    is written to RUN/stress-NAME.json and into its report:

    \b
    fusion evaluate runs/bind_digits --stress corruption --rows 200
    fusion evaluate runs/bind_digits --stress corruption --severities 1,3,5
    fusion evaluate runs/bind_digits --stress attack --rows 100 evaluate.attack.norm=l2
    """
    if stress is None and (kinds or severities or rows):
        raise click.UsageError("--kinds, --severities and --rows are of a stress: add --stress NAME", context)
    if launch is not None:
        start(launch, sys.argv[1:])
    if stress is not None:
        from fusion.report.stressed import summary
        from fusion.stress.measure import measure_under

        record = measure_under(
            run, stress, overrides, kinds=kinds, severities=severities, rows=rows, registry=registry
        )
        if record is not None and as_json:
            print_json(record.model_dump())
        elif record is not None:
            tables(summary(record))
            click.echo(f"report  {run / 'report.html'}")
        return
    from fusion.training.measure import measure

    found = measure(run, overrides, registry=registry)
    if os.environ.get("RANK", "0") == "0":
        print_json(found) if as_json else metrics(found)
