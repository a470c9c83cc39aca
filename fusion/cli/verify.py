"""fusion verify: say whether the files of a run are what was written, and by whom."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusion.cli.arguments import run_argument
from fusion.cli.show import json_option, print_json, registry_argument, table
from fusion.registry import Registry

if TYPE_CHECKING:
    from fusion.run import Run


@click.command("verify", short_help="Say whether a run is whole, and signed.")
@run_argument
@click.option(
    "--public-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also tell whether the run is signed with the secret key that belongs to this file.",
)
@click.option("--require-signature", is_flag=True, help="Exit code 1 when it is not; needs --public-key.")
@json_option
@registry_argument
def command(
    registry: Registry, run: Path, public_key: Path | None, require_signature: bool, as_json: bool
) -> None:
    """Compare the files of RUN and of its checkpoints with their SHA-256; exit code 1 when one is damaged.

    Also tells which plugins and libraries are missing or of another version than those that made it, and
    which files the manifest does not list. A run that is not finished has its checkpoints only. With
    --public-key, a wrong signature is damage too; see `fusion sign`.
    """
    if require_signature and public_key is None:
        raise click.UsageError("--require-signature needs the key to compare with: --public-key FILE")
    from fusion.run import Run
    from fusion.signature import fault
    from fusion.training.verify import verify

    found = verify(Run(run), registry)
    wrong = None if public_key is None else fault(run, public_key)
    indexes = {} if public_key is None or wrong else _indexes(Run(run), public_key)
    trusted = found.whole and not (wrong and (found.signed or require_signature))
    trusted = trusted and not (require_signature and (found.unlisted or indexes))
    trusted = trusted and not any(signed for signed, _ in indexes.values())
    if as_json:
        told = {"whole": found.whole, "advice": found.advice(), **found._asdict()}
        told |= {"versions": [version._asdict() for version in found.versions], "trusted": trusted}
        print_json({**told, "signature": wrong})
    else:
        if found.files:
            table(("file", "state"), [(name, fault or "whole") for name, fault in found.files.items()])
        if found.versions:
            table(("made with", "then", "now"), found.versions)
        for line in found.advice():
            click.echo(line)
        if not found.finished:
            missing = "" if found.files else ", and has no checkpoint yet"
            click.echo(f"The run is not finished{missing}: `--resume` it.")
        if found.unlisted:
            click.echo(f"Not in the manifest: {', '.join(found.unlisted)}.")
        for place, (_, fault_of_it) in indexes.items():
            click.echo(f"{place} {fault_of_it}: `fusion sign` the run again, if it is yours.")
        if wrong:
            click.echo(f"{run} {wrong}.")
        elif public_key is not None:
            click.echo(f"Signed with the key of {public_key}.")
        elif found.signed:
            click.echo("Signed; whether by whom you expect, `--public-key FILE` tells.")
    if not trusted:
        raise SystemExit(1)


def _indexes(run: "Run", key: Path) -> dict[Path, tuple[bool, str]]:
    """Return the indexes without a good signature: whether there is one, and what is wrong with it."""
    from fusion.search import record as records
    from fusion.signature import fault, signature_of

    places = [records.folder(run, name) for name in records.names(run)]
    found = {place: fault(place, key, records.RECORD) for place in places}
    signature = signature_of(records.RECORD)
    return {place: ((place / signature).is_file(), wrong) for place, wrong in found.items() if wrong}
