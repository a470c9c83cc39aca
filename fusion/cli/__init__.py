"""The command line: one file per command; nothing here imports torch."""

import os
import sys
from pathlib import Path

import click

from fusion.cli import (
    app,
    cache,
    check,
    compare,
    compress,
    data,
    dequantize,
    doctor,
    embed,
    evaluate,
    export,
    fisher,
    index,
    merge,
    new,
    plugins,
    predict,
    push,
    rank,
    recipes,
    report,
    search,
    serve,
    sign,
    study,
    train,
    tune,
    verify,
)
from fusion.cli.show import warn
from fusion.errors import DataError, FusionError, ProcessError, Stopped
from fusion.recipe.file import run_script
from fusion.registry import Registry

COMMANDS = (
    new,
    train,
    evaluate,
    predict,
    embed,
    index,
    search,
    export,
    serve,
    app,
    report,
    study,
    tune,
    compare,
    rank,
    merge,
    compress,
    dequantize,
    fisher,
    verify,
    sign,
    push,
    data,
    check,
    cache,
    recipes,
    plugins,
    doctor,
)


class _InOrder(click.Group):
    """Lists commands in the order in which people need them, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def _added(ctx: click.Context, param: click.Parameter, files: tuple[Path, ...]) -> None:
    for file in files:
        run_script(file, ctx.obj)
        if file.stem not in ctx.obj.origins:
            said = [fault.reason for fault in ctx.obj.faults if fault.origin.plugin == file.stem]
            raise click.BadParameter(f"{file} {(said or ['implements no hook'])[0]}", ctx, param)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fusion-bind", prog_name="fusion")
@click.option(
    "--plugin",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=_added,
    expose_value=False,
    help="A .py file that is run, and whose hooks then count, such as the recipe that a run was trained by.",
)
def cli() -> None:
    """Bind, fuse and transfer across modalities, data sources and earlier models.

    A recipe (a name, a YAML file or a .py file) picks components that plugins offer; training it leaves
    a run: a folder with weights, metrics and a report.

    \b
    Start here:     fusion train bind_digits, fusion new DIR
    What is there:  fusion recipes ls, fusion plugins ls
    Completion:     eval "$(_FUSION_COMPLETE=bash_source fusion)"   (or zsh_source, fish_source)
    """


for command in COMMANDS:
    cli.add_command(command.command)


def main() -> None:
    """Run the command line: exit code 0, 1 for an error in one message, 2 for wrong usage, 130 for Ctrl-C.

    A training that SIGTERM has ended, and that can go on, is no failure: 0.
    """
    try:
        registry = Registry()
        registry.notify("fusion_commands", cli=cli)
        for fault in () if "_FUSION_COMPLETE" in os.environ else registry.faults:
            warn(f"{fault}; it is ignored (FUSION_BLOCK={fault.origin.plugin} silences this)")
        code = cli.main(prog_name="fusion", obj=registry, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (FusionError, OSError) as error:
        rank = os.environ.get("RANK", "0")
        if rank == "0":
            click.echo(f"error: {error}", err=True)
        elif isinstance(error, DataError | ProcessError | OSError):  # what others may not have met
            click.echo(f"error (process {rank}): {error}", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt) as error:  # click's name for Ctrl-C, and one while plugins load
        ended = error.__cause__ or error
        if os.environ.get("RANK", "0") == "0":
            click.echo(str(ended) or "interrupted", err=True)
        sys.exit(0 if isinstance(ended, Stopped) else 130)
    sys.exit(code if isinstance(code, int) else 0)  # of a command that ended by `context.exit(code)`
