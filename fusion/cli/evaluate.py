"""fusion evaluate: measure a run again, on its own or on other evaluation sources."""

from pathlib import Path

import click

from fusion.cli.arguments import overrides_argument, run_argument
from fusion.cli.show import json_option, metrics, print_json, registry_argument
from fusion.registry import Registry


@click.command("evaluate")
@run_argument
@overrides_argument
@json_option
@registry_argument
def command(registry: Registry, run: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Measure RUN on the evaluation sources of its recipe and print the metrics; nothing is written.

    Overrides change what is measured, not what was trained:

    \b
    fusion evaluate runs/bind_digits evaluate.sources.test.noise=0.3
    """
    from accelerate import Accelerator

    from fusion.evaluation.evaluate import evaluate
    from fusion.inference import load
    from fusion.recipe_file import read_recipe
    from fusion.run import Run

    trained = Run(run)
    recipe = read_recipe(run / "recipe.yaml", overrides, registry)
    model = load(trained, registry=registry).model
    found = evaluate(model, recipe, registry, Accelerator(), trained.metrics).metrics
    print_json(found) if as_json else metrics(found)
