"""fusion evaluate: measure a run again, on its own or on other evaluation sources."""

import os
import sys
from pathlib import Path

import click

from fusion.cli.arguments import launch_option, measured_argument, run_argument
from fusion.cli.show import json_option, metrics, print_json, registry_argument
from fusion.launch.start import start
from fusion.registry import Registry


@click.command("evaluate", short_help="Measure a run again, also on other sources.")
@run_argument
@measured_argument
@launch_option
@json_option
@registry_argument
def command(
    registry: Registry, run: Path, overrides: tuple[str, ...], launch: str | None, as_json: bool
) -> None:
    """Measure RUN on the evaluation sources of its recipe and print the metrics; nothing is written.

    Overrides change what is measured, not what was trained:

    \b
    fusion evaluate runs/bind_digits evaluate.sources.test.noise=0.3
    """
    if launch is not None:
        start(launch, sys.argv[1:])
    from fusion.training.measure import measure

    found = measure(run, overrides, registry=registry)
    if os.environ.get("RANK", "0") == "0":
        print_json(found) if as_json else metrics(found)
