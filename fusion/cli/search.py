"""fusion search: the rows of an index that lie nearest to what is given."""

from pathlib import Path

import click

from fusion.cli.arguments import TAKES_A_ROW, asked_argument, html_option, listed, row_of
from fusion.cli.show import json_option, print_json, registry_argument, table, written
from fusion.registry import Registry


@click.command(
    "search",
    short_help="Find rows by a text, an image, a sound.",
    context_settings=TAKES_A_ROW,
)
@asked_argument
@click.option(
    "--in",
    "within",
    callback=listed,
    metavar="NAME,...",
    help="Modalities to look among, or fused; by default all, of which the query's own mostly comes first.",
)
@click.option("-k", type=click.IntRange(1), default=10, show_default=True, help="How many to find.")
@click.option("--index", "name", help="Which, where RUN has several.")
@html_option("Write a page with the pictures, sounds and texts that were found.")
@json_option
@click.pass_context
@registry_argument
def command(
    registry: Registry,
    context: click.Context,
    run: Path,
    within: list[str],
    k: int,
    name: str | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Find the rows of an index of RUN that lie nearest to a row: any of its modalities, as --MODALITY VALUE.

    A value is a file, the text itself, or a table's row as JSON. What is found among a modality
    is found by that modality's vector; the score is the cosine. Several values ask by the mean of their
    vectors; --in fused compares fused vectors. `fusion index` makes an index.

    \b
    fusion search runs/bind_digits --text "the digit seven" --in image,audio -k 10
    fusion search runs/bind_digits --image seven.png --in audio --html found.html
    fusion search runs/bind_digits --image seven.png --audio seven.wav --in fused --json
    """
    from fusion.inference import load
    from fusion.search import Index, find

    predictor = load(run, registry=registry)
    row = row_of(context.args, predictor.model.processors)
    index = Index.open(run, name, registry)
    [hits] = find(predictor, index, row, k, within or None)
    if html is not None:
        from fusion.report.found import render

        samples = [index.sample(hit) for hit in hits]
        with written(html):
            found = list(zip(hits, samples, strict=True))
            render(predictor.recipe.name, row, found, predictor.model.processors, html)
    if as_json:
        print_json(
            {"index": index.name, "within": index.within(within), "hits": [hit._asdict() for hit in hits]}
        )
        return
    table(
        ("score", "modality", "source", "row", "label"),
        [(f"{hit.score:.4f}", hit.modality, hit.source, hit.row, hit.label or "") for hit in hits],
    )
    if html is not None:
        click.echo(f"page  {html}")
