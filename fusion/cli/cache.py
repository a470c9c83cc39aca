"""fusion cache: what is kept of frozen encoders, whether it is whole, and away with it."""

import time
from typing import Any

import click

from fusion.cache.entry import Entry
from fusion.cache.folder import Folder, size
from fusion.cli.show import json_option, print_json, table
from fusion.errors import RunError

DAY = 86_400


@click.group("cache", invoke_without_command=True, short_help="List, check and clear kept features.")
@click.pass_context
def command(context: click.Context) -> None:
    """List, check and clear the features of frozen encoders that trainings keep.

    They lie in $FUSION_CACHE or ~/.cache/fusion/features, up to $FUSION_CACHE_LIMIT (50 GB); what was not
    used for longest goes first.
    """
    if context.invoked_subcommand is None:
        context.invoke(ls, as_json=False)


@command.command()
@json_option
def ls(as_json: bool) -> None:
    """List the entries, the one used last first."""
    folder = Folder.found()
    entries = list(folder)
    if as_json:
        print_json({"folder": folder.path, "limit": folder.limit, "entries": list(map(_record, entries))})
        return
    columns = ("entry", "of", "source", "made by", "rows", "size", "used")
    table(columns, [_line(entry) for entry in entries])
    total = sum(entry.bytes for entry in entries)
    click.echo(f"{len(entries)} entries, {size(total)} of {size(folder.limit)} in {folder.path}")


@command.command(short_help="Delete entries that no training uses.")
@click.option("--older", type=click.FloatRange(min=0), metavar="DAYS", help="Only what was not used since.")
def clear(older: float | None) -> None:
    """Delete entries; those that a training uses stay."""
    since = time.time() - (older or 0) * DAY
    chosen = [entry for entry in Folder.found() if older is None or entry.used < since]
    sizes = {entry: entry.bytes for entry in chosen}
    gone = [entry for entry in chosen if entry.remove()]
    click.echo(f"{len(gone)} entries deleted, {size(sum(sizes[entry] for entry in gone))}")
    if len(gone) < len(chosen):
        click.echo(f"{len(chosen) - len(gone)} are in use")


@command.command(short_help="Compare every file with its checksum.")
def verify() -> None:
    """Compare every file with its SHA-256; delete what differs, so that it is computed anew.

    Exit code 1 when there was any.
    """
    faults = [(entry, fault) for entry in Folder.found() for fault in [entry.fault()] if fault is not None]
    for entry, _ in faults:
        entry.remove(damaged=True)
    if faults:
        told = "; ".join(f"{entry.folder} {fault}" for entry, fault in faults)
        raise RunError(f"{told}; deleted, the next training computes it anew")
    click.echo("every entry is as it was written")


def _record(entry: Entry) -> dict[str, Any]:
    try:
        record = entry.record
    except (OSError, ValueError) as error:
        record = {"fault": f"is damaged: {error}"}
    about = {key: value for key, value in record.items() if key != "files"}
    return {"entry": entry.name, "bytes": entry.bytes, "used": entry.used, **about}


def _line(entry: Entry) -> tuple[str, ...]:
    days = (time.time() - entry.used) / DAY
    used = "today" if days < 1 else f"{days:.0f} days ago"
    record = _record(entry)
    if "fault" in record:
        return entry.name[:12], record["fault"], "", "", "", size(entry.bytes), used
    key = record["key"]
    of = key.get("modality", "targets") + (", tokens" if key.get("tokens") else "")
    made = " in ".join([key["encoder"]["name"], key["dtype"]]) if "encoder" in key else ""
    return entry.name[:12], of, key["source"]["name"], made, f"{record['rows']:,}", size(entry.bytes), used
