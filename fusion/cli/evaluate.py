"""fusion evaluate: measure a run again, on its own or on other evaluation sources."""

from pathlib import Path

import click

from fusion.cli.arguments import measured_argument, run_argument
from fusion.cli.show import json_option, metrics, print_json, registry_argument
from fusion.registry import Registry


@click.command("evaluate", short_help="Measure a run again, also on other sources.")
@run_argument
@measured_argument
@json_option
@registry_argument
def command(registry: Registry, run: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Measure RUN on the evaluation sources of its recipe and print the metrics; nothing is written.

    Overrides change what is measured, not what was trained:

    \b
    fusion evaluate runs/bind_digits evaluate.sources.test.noise=0.3
    """
    from fusion.evaluation.evaluate import evaluate
    from fusion.inference import load
    from fusion.recipe_file import read_recipe
    from fusion.run import Run
    from fusion.training.launch import launch

    trained = Run(run)
    # evaluation is in fp32, also of what a GPU trained in fp16
    accelerator = launch(trained.recipe.train.model_copy(update={"precision": "fp32"}))
    model = load(trained, accelerator.device, registry).model
    recipe = read_recipe(run / "recipe.yaml", overrides, registry)
    found = evaluate(model, recipe, registry, accelerator, trained.metrics).metrics
    if accelerator.is_main_process:
        print_json(found) if as_json else metrics(found)
