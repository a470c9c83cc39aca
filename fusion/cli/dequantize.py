"""fusion dequantize: make an ordinary run of a compressed one."""

from pathlib import Path

import click

from fusion.cli.arguments import run_argument
from fusion.cli.show import json_option, metrics, print_json, registry_argument
from fusion.registry import Registry


@click.command("dequantize", short_help="Make an ordinary run of a compressed one.")
@run_argument
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder of the new run.")
@json_option
@registry_argument
def command(registry: Registry, run: Path, out: Path, as_json: bool) -> None:
    """Write the weights that the compressed run RUN stands for as ordinary floats, into a run of its own.

    It can be trained, merged and compressed again; what rounding has lost stays lost. RUN is only read.

    \b
    fusion dequantize runs/bind_digits-compressed --out runs/floats
    """
    from fusion.shrink.dequantize import dequantize

    made = dequantize(run, out, registry=registry)
    if as_json:
        print_json(made.metrics)
    else:
        metrics(made.metrics)
        click.echo(f"run     {made.folder}\nreport  {made.report}")
