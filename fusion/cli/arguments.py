"""Arguments that several commands take, with completion."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from fusion.recipe.file import shipped

if TYPE_CHECKING:
    from fusion.encoder import Processor
    from fusion.search.rows import Rows

TRAINED = ("encoders", "width", "fuser", "objectives")
MEASURED = ("evaluate", "classes")  # sections that say what is measured
TAKES_A_ROW = {"ignore_unknown_options": True, "allow_extra_args": True}


class RecipeName(click.types.StringParamType):
    """The name of a shipped recipe, a file, or a run folder."""

    name = "recipe"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        names = [CompletionItem(name) for name in shipped() if name.startswith(incomplete)]
        return [*names, CompletionItem(incomplete, type="file")]


def leave_what_was_trained(
    ctx: click.Context, param: click.Parameter, overrides: tuple[str, ...]
) -> tuple[str, ...]:
    for override in overrides:
        section = override.partition("=")[0].partition(".")[0]
        if section in TRAINED:
            raise click.UsageError(
                f"{override!r}: {section} cannot change after training; evaluate, classes and sources can",
                ctx,
            )
    return overrides


def leave_but_what_is_measured(ctx: click.Context, overrides: Sequence[str], why: str) -> None:
    for override in overrides:
        if override.partition("=")[0].partition(".")[0] not in MEASURED:
            measured = ", ".join(MEASURED)
            raise click.UsageError(f"{override!r}: {why} only what is measured can change: {measured}", ctx)


def listed(ctx: click.Context, param: click.Parameter, text: str | None) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()] if text else []


def numbers(ctx: click.Context, param: click.Parameter, text: str | None) -> list[float]:
    try:
        return [float(number) for number in text.split(",")] if text else []
    except ValueError:
        raise click.BadParameter(f"{text!r} are not numbers such as 1,0.5", ctx, param) from None


class RunPlace(click.Path):
    """The folder of a run, or "org/name@revision" of the hub, of which the files are fetched."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from fusion.hub.fetch import located

        return located(str(value))


def row_of(arguments: Sequence[str], processors: Mapping[str, "Processor"]) -> dict[str, Any]:
    """Return the row that `--MODALITY VALUE` gives, of a command that takes unknown options."""
    known = ", ".join(f"--{name}" for name in processors)
    row: dict[str, Any] = {}
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or name not in processors:
            raise click.UsageError(f"{argument!r} is not a modality of this run; known: {known}")
        given = value if equals else next(rest, None)
        if given is None:
            raise click.UsageError(f"{flag} needs a value: a file or a text")
        if name in row:
            raise click.UsageError(f"{flag} is given twice; this answers for one row")
        row[name] = _record(flag, given) if "record" in processors[name].takes else given
    if not row:
        raise click.UsageError(f"no input was given; give any of {known}")
    return row


def _record(flag: str, given: str) -> dict[str, Any]:
    try:
        found = json.loads(given)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise click.UsageError(
            f"{flag} takes cells by column as JSON, such as '{{\"age\": 38}}', not {given!r:.100}"
        )
    return found


def rows(ctx: click.Context, param: click.Parameter, text: str | None) -> "Rows":
    """Return the numbers of rows such as 3,10-12: the last of a range is one of it."""
    from fusion.search.rows import Rows

    try:
        return Rows.read(text or "")
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


recipe_argument = click.argument("recipe", type=RecipeName())
overrides_argument = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
measured_argument = click.argument(
    "overrides", nargs=-1, metavar="[KEY=VALUE]...", callback=leave_what_was_trained
)
run_argument = click.argument("run", type=RunPlace())
asked_argument = click.argument("run", type=RunPlace(), metavar="RUN [--MODALITY VALUE]...")
tiny_option = click.option(
    "--tiny", is_flag=True, help="Tiny components and a few steps: does it run at all?"
)
out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="The run folder; by default a new one in runs/."
)
source_option = click.option(
    "--source",
    help="A source by its name in `evaluate.sources` or `sources` of the recipe; by default the first.",
)
host_option = click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 is everywhere."
)
names_option = click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name by which it is asked, besides addresses, localhost and --host: a proxy's; * is any.",
)


def port_option(default: int) -> Callable[[Any], Any]:
    """Return the option of a command that listens."""
    return click.option(
        "--port",
        default=default,
        show_default=True,
        type=click.IntRange(0, 65535),
        help="0 takes any that is free, and says which.",
    )


def html_option(says: str) -> Callable[[Any], Any]:
    """Return the option of a command that also writes a page."""
    return click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help=says)


def megabytes_option(says: str) -> Callable[[Any], Any]:
    """Return the option of a command that reads what strangers send."""
    return click.option("--max-mb", default=8.0, show_default=True, type=click.FloatRange(0.001), help=says)


launch_option = click.option(
    "--launch",
    metavar="NAME|FILE",
    help="On several processes: cpu2, ddp, fsdp2, deepspeed, or a file of `accelerate config`.",
)
