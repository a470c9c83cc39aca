"""fusion plugins: what is installed, what a component takes, whether it keeps its contract."""

import textwrap
from typing import Any

import click

from fusion import described
from fusion.cli.show import json_option, print_json, registry_argument, table
from fusion.errors import PluginError, unknown
from fusion.registry import Offer, Registry


@click.group("plugins", invoke_without_command=True, short_help="List, show and check components.")
@click.pass_context
def command(context: click.Context) -> None:
    """List the components that plugins offer, show one's options, check one's contract."""
    if context.invoked_subcommand is None:
        context.invoke(ls, as_json=False)


@command.command()
@json_option
@registry_argument
def ls(registry: Registry, as_json: bool) -> None:
    """List components, and plugins in quarantine."""
    rows = [
        (offer.kind, offer.component.name, offer.component.modality or "", *offer.origin)
        for offer in registry
    ]
    faults = [(*fault.origin, fault.reason) for fault in registry.faults]
    columns = ("kind", "name", "modality", "plugin", "distribution", "version")
    if as_json:
        faulty = ("plugin", "distribution", "version", "reason")
        print_json(
            {
                "components": [dict(zip(columns, row, strict=True)) for row in rows],
                "quarantine": [dict(zip(faulty, fault, strict=True)) for fault in faults],
            }
        )
        return
    table(columns, rows)
    if faults:
        table(("plugin", "distribution", "version", "reason"), faults, "in quarantine")


@command.command(short_help="Show a component and its options.")
@click.argument("name")
@json_option
@registry_argument
def show(registry: Registry, name: str, as_json: bool) -> None:
    """Show what component NAME is and which options a recipe may give it."""
    offers = _named(registry, name)
    if as_json:
        print_json([_described(offer) for offer in offers])
        return
    for offer in offers:
        component = offer.component
        options = described.rows(component)
        click.echo(f"{offer.kind} {name}" + (f" ({component.modality})" if component.modality else ""))
        click.echo(f"from {offer.origin}, {described.module(component)}")
        if component.needs:
            click.echo(f"needs pip install '{component.needs}'")
        click.echo(f"\n{described.doc(component)}\n")
        click.echo("options:" if options else "no options")
        for option in options:
            click.echo(f"  {option}")
        click.echo(f"\npicked by:\n{textwrap.indent(described.snippet(offer), '  ')}")


@command.command(short_help="Check that a component keeps its contract.")
@click.argument("name")
@registry_argument
def check(registry: Registry, name: str) -> None:
    """Check that component NAME keeps the contract of its kind, on its tiny build."""
    from fusion import testing

    for offer in _named(registry, name):
        for passed in testing.check(offer):
            click.echo(f"ok  {passed}")
        click.echo(f"{offer.kind} {name} of {offer.origin} keeps its contract")


def _described(offer: Offer) -> dict[str, Any]:
    options = [
        {"name": row.name, "type": row.type, "allowed": row.allowed, "required": row.required}
        | ({} if row.required else {"default": row.default})
        for row in described.rows(offer.component)
    ]
    return {
        "kind": offer.kind,
        "name": offer.component.name,
        "modality": offer.component.modality,
        **offer.origin._asdict(),
        "module": described.module(offer.component),
        "needs": offer.component.needs,
        "papers": described.papers(offer.component),
        "doc": described.doc(offer.component),
        "options": options,
        "picked_by": described.snippet(offer),
    }


def _named(registry: Registry, name: str) -> list[Offer]:
    offers = [offer for offer in registry if offer.component.name == name]
    if not offers:
        hint = "".join(f"\n  in quarantine: {fault}" for fault in registry.faults)
        raise PluginError(unknown("component", name, [offer.component.name for offer in registry]) + hint)
    return offers
