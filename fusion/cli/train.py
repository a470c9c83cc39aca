"""fusion train: train, evaluate and report a recipe."""

import os
import sys
from pathlib import Path

import click

from fusion.cli.arguments import launch_option, out_option, overrides_argument, recipe_argument, tiny_option
from fusion.cli.show import json_option, metrics, print_json, registry_argument, warn
from fusion.launch.start import start
from fusion.registry import Registry


@click.command("train", short_help="Train a recipe, evaluate it, write its report.")
@recipe_argument
@overrides_argument
@tiny_option
@click.option(
    "--resume", is_flag=True, help="Go on with the run in --out, or with the newest of this recipe."
)
@click.option("--profile", is_flag=True, help="Write a trace of some steps, and say where their time goes.")
@out_option
@launch_option
@json_option
@registry_argument
def command(
    registry: Registry,
    recipe: str,
    overrides: tuple[str, ...],
    tiny: bool,
    resume: bool,
    profile: bool,
    out: Path | None,
    launch: str | None,
    as_json: bool,
) -> None:
    """Train RECIPE, evaluate it and write its report.

    RECIPE is a name (see `fusion recipes ls`), a YAML file, a .py file or a run folder. Overrides are
    dotted paths into it.

    \b
    fusion train bind_digits
    fusion train bind_digits train.steps=100 encoders.audio.tune.mode=frozen
    fusion train bind_digits --launch cpu2
    """
    from fusion.picks import shrink
    from fusion.recipe.file import read_recipe

    wanted = read_recipe(recipe, overrides, registry)
    if launch is not None:
        start(launch, sys.argv[1:])
    from fusion.training.loop import train

    if tiny and wanted.init is not None:
        warn(f"--tiny leaves out init ({wanted.init}), whose weights are not of tiny encoders")
    if tiny and wanted.prior is not None:
        warn(f"--tiny leaves out prior ({wanted.prior.name}), which holds weights that are not there")
    chosen = shrink(wanted, registry) if tiny else wanted
    run = train(chosen, out, resume=resume, profile=profile, registry=registry)
    if os.environ.get("RANK", "0") != "0":
        return
    if as_json:
        print_json(run.metrics)
    else:
        metrics(run.metrics)
        click.echo(f"run     {run.folder}\nreport  {run.report}")
