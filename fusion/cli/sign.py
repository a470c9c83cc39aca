"""fusion sign: vouch for a run, so that a change of any file that loading reads is found."""

from pathlib import Path

import click

from fusion.errors import RunError


@click.command("sign", short_help="Sign a run, or make the keys for that.")
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="The secret key to sign with.")
@click.option(
    "--new-key",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Make a pair of keys: FILE, which only you can read, and FILE.pub for others.",
)
def command(run: Path | None, key: Path | None, new_key: Path | None) -> None:
    """Sign RUN with a secret key of Ed25519: `manifest.sig` is written beside its manifest.

    The signature covers the manifest, and by the SHA-256 in it every file that loading reads. Files that it
    does not list yet are added to it first, and told: look at them, as you vouch for them too. What
    `fusion index` left has a signature of its own.

    \b
    fusion sign --new-key team.pem
    fusion sign runs/bind_digits --key team.pem
    fusion verify runs/bind_digits --public-key team.pem.pub --require-signature
    FUSION_REQUIRE_SIGNATURE=team.pem.pub fusion predict runs/bind_digits --text seven
    """
    from fusion import signature

    if new_key is not None:
        if run is not None or key is not None:
            raise click.UsageError("--new-key makes keys and signs nothing; leave out RUN and --key")
        public = signature.new_key(new_key)
        click.echo(f"{new_key} is the secret key: keep it. {public} is for those who check.")
        return
    if run is None or key is None:
        raise click.UsageError("give the run and --key FILE, or --new-key FILE to make one")
    from fusion.files import json_bytes, sha256
    from fusion.manifest import MANIFEST, SIGNATURE, faults, inside, unlisted
    from fusion.run import Run
    from fusion.search import record as records

    opened = Run(run)
    record = opened.manifest
    found = faults(run, record["files"]) | records.faults(opened)
    damaged = [name for name, wrong in found.items() if wrong]
    if damaged:
        raise RunError(
            f"{run} is damaged and not signed: {', '.join(damaged)}; `fusion verify {run}` tells more"
        )
    more = unlisted(run, record["files"])
    strange = [name for name in more if not inside(name)]
    if strange:
        raise RunError(f"{run} is not signed: a file is called {strange[0]!r}; rename or delete it")
    manifest = (run / MANIFEST).read_bytes()
    if more:
        files = record["files"] | {name: sha256(run / name) for name in more}
        manifest = json_bytes({**record, "files": files})
    signature.sign(run, manifest, key)
    indexes = [records.folder(opened, name) for name in records.names(opened)]
    for place in indexes:
        signature.sign(place, (place / records.RECORD).read_bytes(), key, records.RECORD)
    if more:
        click.echo(f"Added to the manifest: {', '.join(more)}.")
    signatures = [run / SIGNATURE, *(place / signature.signature_of(records.RECORD) for place in indexes)]
    click.echo(f"Signed: {', '.join(map(str, signatures))}")
