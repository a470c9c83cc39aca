"""fusion fisher: how much each parameter of a run matters to what it has learned."""

from pathlib import Path

import click

from fusion.cli.arguments import measured_argument, run_argument
from fusion.cli.show import registry_argument, table, warn
from fusion.registry import Registry


@click.command("fisher", short_help="Say how much each parameter of a run matters.")
@run_argument
@measured_argument
@click.option("--rows", type=click.IntRange(1), default=1000, show_default=True, help="Rows to look at.")
@click.option(
    "--batch",
    type=click.IntRange(1),
    help="Rows at once; by default 1 if every objective is a task, else those of the training.",
)
@registry_argument
def command(registry: Registry, run: Path, overrides: tuple[str, ...], rows: int, batch: int | None) -> None:
    """Write RUN/fisher.safetensors: the mean squared gradient of the losses, on rows that RUN learned from.

    The prior `ewc` of a later training reads it. Overrides choose other rows.

    \b
    fusion fisher runs/fashion
    fusion train mnist.yaml init=runs/fashion 'prior={name: ewc}'
    """
    from fusion.inference import load
    from fusion.manifest import SIGNATURE
    from fusion.model import part_of
    from fusion.recipe.file import read_recipe
    from fusion.run import Run
    from fusion.training.launch import launch
    from fusion.transfer.fisher import fisher, write

    trained = Run(run)
    accelerator = launch(trained.recipe.train.model_copy(update={"precision": "fp32"}))
    model = load(trained, accelerator.device, registry).model
    model.merge()
    recipe = read_recipe(run / "recipe.yaml", overrides, registry)
    found = fisher(model, recipe, registry, accelerator, rows, batch)
    if not accelerator.is_main_process:
        return
    if found.bad:
        first = found.bad[0]
        place = f"row {first.row} of {first.source!r}: {first.reason}"
        warn(f"{len(found.bad)} rows cannot be read, such as {place}")
    parts: dict[str, list[float]] = {}
    for name, value in found.information.items():
        part = parts.setdefault(part_of(name), [0, 0.0])
        part[0] += value.numel()
        part[1] += value.sum().item()
    table(
        ("part", "parameters", "mean information"),
        [(name, f"{int(count):,}", f"{total / count:.3g}") for name, (count, total) in parts.items()],
    )
    file = write(trained, found)
    if (run / SIGNATURE).is_file():
        warn(f"{run} was signed without this; `fusion sign` it again")
    click.echo(f"{file} ({found.rows} rows, {found.batch} at a time)")
