"""fusion export: write a run as graphs that need no fusion."""

from pathlib import Path

import click

from fusion.cli.arguments import measured_argument, run_argument
from fusion.cli.show import registry_argument
from fusion.registry import Registry


@click.command("export", short_help="Write a run as graphs: ONNX or torch.export.")
@run_argument
@measured_argument
@click.option("--format", type=click.Choice(["onnx", "torch"]), required=True, help="Of the graphs.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder; by default RUN/export/FORMAT.")
@click.option(
    "--source", help="A source of the recipe to trace and check with; by default the first that fits."
)
@registry_argument
def command(
    registry: Registry,
    run: Path,
    overrides: tuple[str, ...],
    format: str,
    out: Path | None,
    source: str | None,
) -> None:
    """Write a graph of each encoder of RUN, from processed inputs to vectors of unit length, and one of
    fuser and tasks, which takes any subset of modalities. Any number of rows goes in.

    Beside them lie model.json, which tells what goes in and comes out, rows in example.npz, and predict.py,
    which answers for them without fusion. All are compared with the run before they are there.

    \b
    fusion export runs/bind_digits --format onnx
    python runs/bind_digits/export/onnx/predict.py
    """
    from fusion.export.export import export
    from fusion.recipe.file import read_recipe
    from fusion.run import Run

    opened = Run(run)
    recipe = read_recipe(run / "recipe.yaml", overrides, registry)
    made = export(opened, format, out, recipe=recipe, source=source, registry=registry)
    for path in made.files:
        click.echo(f"{path.name:20} {path.stat().st_size:>12,} bytes")
    click.echo(f"{made.folder}: on 1, 3 and 64 rows at most {made.apart:.1g} from the run")
