"""fusion compress: make a smaller run of a run, if it stays as good."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusion.cli.arguments import leave_but_what_is_measured, measured_argument, out_option, run_argument
from fusion.cli.show import json_option, print_json, registry_argument, tables
from fusion.errors import RunError
from fusion.registry import Registry

if TYPE_CHECKING:
    from fusion.recipe.picks import Pick

TAKING = ("--with", "--distil")


class _Taking(click.Command):
    """Gives an option all KEY=VALUE that come behind its first value: --with a b=1 is --with a --with b=1."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        option = ""
        for word in args:
            if word.startswith("-"):
                name = word.partition("=")[0]
                option = name if name in TAKING else ""
            elif option and spread[-1] != option:
                option = option if "=" in word else ""
                spread += [option] if option else []
            spread.append(word)
        return super().parse_args(ctx, spread)


def _picks(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> "list[Pick]":
    from fusion.recipe.picks import Pick
    from fusion.recipe.text import parse

    chosen: list[dict[str, object]] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            chosen.append({"name": word})
        elif not chosen or key == "name":
            raise click.BadParameter(f"{word!r}: give the name of a compression first", ctx, param)
        else:
            chosen[-1][key] = parse(f"value: {value}", word)[0]["value"]
    return [Pick.model_validate(one) for one in chosen]


@click.command("compress", cls=_Taking, short_help="Make a run smaller, and say what that costs.")
@run_argument
@measured_argument
@click.option(
    "--with",
    "chosen",
    multiple=True,
    callback=_picks,
    metavar="NAME [KEY=VALUE]...",
    help="A compression and its options (`fusion plugins ls`); several are applied in order.",
)
@click.option(
    "--recover",
    type=click.IntRange(1),
    metavar="STEPS",
    help="Train so long on the run's recipe, prepared for what is applied afterwards.",
)
@click.option(
    "--distil",
    multiple=True,
    metavar="KEY=VALUE...",
    help="Overrides of the recipe that make a smaller model, which then learns from the run.",
)
@click.option(
    "--steps", type=click.IntRange(1), help="How long a student learns; by default as its recipe says."
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0),
    default=0.01,
    show_default=True,
    help="How much worse a metric may become, in its own unit: 0.01 is one point of accuracy.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="KEY",
    help="A metric that decides; by default all first ones of pairs, zero-shot, and tasks by subset.",
)
@out_option
@json_option
@registry_argument
@click.pass_context
def command(
    context: click.Context,
    registry: Registry,
    run: Path,
    overrides: tuple[str, ...],
    chosen: "list[Pick]",
    recover: int | None,
    distil: tuple[str, ...],
    steps: int | None,
    max_drop: float,
    metrics: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Make a smaller run of the finished run RUN, and compare both: metrics, size on disk, speed.

    The smaller one is kept if no metric that decides is worse by more than --max-drop; otherwise the table
    says which is, nothing is kept, and the exit code is 1. RUN itself is only read. KEY=VALUE says what is
    measured and, with --recover, how it is trained.

    \b
    fusion compress runs/bind_digits --with low-rank energy=0.9
    fusion compress runs/bind_digits --with prune-structured sparsity=0.2 --recover 300
    fusion compress runs/bind_digits --distil encoders.text.dim=64 encoders.text.layers=1
    fusion plugins show low-rank    # what may stand behind --with NAME
    """
    from fusion.report.compared import compared
    from fusion.shrink.compress import compress

    if not recover and not distil:
        leave_but_what_is_measured(context, overrides, "without --recover")
    if steps is not None and not distil:
        raise click.UsageError(
            "--steps is how long a student learns; give --distil, or --recover STEPS", context
        )
    made = compress(
        run,
        out,
        chosen=chosen,
        recover=recover or 0,
        distil=distil or None,
        steps=steps,
        max_drop=max_drop,
        metrics=metrics,
        overrides=overrides,
        registry=registry,
    )
    if as_json:
        print_json({**made.record, "folder": None if made.run is None else str(made.run.folder)})
    else:
        tables(compared(made.record))
    if made.run is None:
        raise RunError(f"{'; '.join(made.worse)}; more than --max-drop {max_drop:g}, so nothing was kept")
    if not as_json:
        click.echo(f"run     {made.run.folder}\nreport  {made.run.report}")
