"""fusion rank: which encoder, or which earlier run, will transfer best, before anything is trained."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusion.cli.arguments import overrides_argument, recipe_argument
from fusion.cli.show import json_option, print_json, registry_argument, table, warn
from fusion.registry import Registry

if TYPE_CHECKING:
    from fusion.transfer.rank import Ranked


@click.command("rank", short_help="Say what will transfer best, before training.")
@recipe_argument
@overrides_argument
@click.option(
    "--over",
    "over_",
    required=True,
    metavar="KEY=V1,V2",
    help="The candidates: a key of the recipe, and the values that it takes in turn.",
)
@click.option(
    "--by",
    default="",
    help="Estimators, or {name: probe, folds: 10}; the first sorts. By default all.",
)
@click.option(
    "--rows", default=2000, show_default=True, type=click.IntRange(2), help="Labelled rows to look at."
)
@click.option("--modality", help="The one to look at; by default the mean over all.")
@click.option(
    "--against",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder with runs of the candidates, to compare the ranking with.",
)
@click.option("--measure", metavar="METRIC", help="Of those runs, such as subsets/image/accuracy.")
@json_option
@registry_argument
def command(
    registry: Registry,
    recipe: str,
    overrides: tuple[str, ...],
    over_: str,
    by: str,
    rows: int,
    modality: str | None,
    against: tuple[Path, ...],
    measure: str | None,
    as_json: bool,
) -> None:
    """Rank candidates, each of which is RECIPE with another value of one key, by how well they will transfer.

    Each encodes some labelled training rows with the encoders it would start from; nothing is trained. The
    labels are the recipe's evaluate.target. Larger is better, and the best is marked by *.

    \b
    fusion rank mine.yaml --over init=runs/clothes,runs/letters,null
    fusion rank mine.yaml --over "encoders.image={name: scratch-image},{name: timm-image}"
    fusion rank mine.yaml --over init=runs/a,null --against runs --measure subsets/image/accuracy
    """
    from fusion.recipe.axis import over
    from fusion.recipe.file import read_recipe
    from fusion.recipe.text import parse
    from fusion.transfer.rank import rank
    from fusion.transfer.truth import truth

    if bool(against) != bool(measure):
        raise click.UsageError("--against and --measure go together: the runs, and the metric of them")
    path = over_.partition("=")[0]
    candidates = {
        value.partition("=")[2].replace('"', ""): read_recipe(recipe, [*overrides, value], registry)
        for value in over(over_)
    }
    true = truth(against, candidates, measure) if measure else {}
    chosen = parse(f"value: [{by}]", "--by")[0]["value"]
    ranked = rank(candidates, chosen, rows=rows, modality=modality, registry=registry)
    if os.environ.get("RANK", "0") != "0":
        return
    for one in ranked:
        if one.bad:
            source, row, reason = one.bad[0]
            warn(f"{one.name}: {len(one.bad)} rows cannot be read, such as row {row} of {source}: {reason}")
        for part in one.new:
            warn(f"{one.name}: init: nothing of {part} was taken")
    if as_json:
        print_json(_plain(path, ranked, measure, true))
    else:
        _tell(path, ranked, measure, true)


def _plain(path: str, ranked: list["Ranked"], measure: str | None, true: dict[str, list[float]]) -> Any:
    candidates = [
        {
            "value": one.name,
            "rows": one.rows,
            "estimates": {kind: one.estimate(kind) for kind in one.estimates},
            "by_modality": one.estimates,
        }
        | ({"true": true[one.name]} if measure else {})
        for one in ranked
    ]
    told = {"over": path, "candidates": candidates}
    return told | ({"measure": measure, "tau": _tau(ranked, true)} if measure else {})


def _tell(path: str, ranked: list["Ranked"], measure: str | None, true: dict[str, list[float]]) -> None:
    from statistics import mean

    kinds = list(ranked[0].estimates)
    columns = {kind: [one.estimate(kind) for one in ranked] for kind in kinds}
    best = {
        kind: max((number for number in column if number is not None), default=None)
        for kind, column in columns.items()
    }
    table(
        (path, "rows", *kinds, *([measure] if measure else [])),
        [
            (
                one.name,
                "+".join(map(str, one.rows.values())),
                *(_cell(columns[kind][place], best[kind]) for kind in kinds),
                *([f"{mean(true[one.name]):.4f}"] if measure else []),
            )
            for place, one in enumerate(ranked)
        ],
    )
    reasons = [(kind, one.name, said) for one in ranked for kind in kinds for said in one.reasons(kind)]
    if reasons:
        table(("no", "for", "because"), reasons)
    if measure:
        tau = _tau(ranked, true)
        cells = [(kind, "" if tau[kind] is None else f"{tau[kind]:+.3f}") for kind in kinds]
        table(("estimator", "Kendall's tau"), cells, f"agreement with {measure}")


def _cell(number: float | None, best: float | None) -> str:
    return "" if number is None else f"{number:.4f}" + ("*" if number == best else "")


def _tau(ranked: list["Ranked"], true: dict[str, list[float]]) -> dict[str, float | None]:
    """Return Kendall's tau of each estimator with the mean of the runs, over the candidates it estimates."""
    from statistics import mean

    from fusion.transfer.truth import kendall

    tau = {}
    for kind in ranked[0].estimates:
        pairs = [(one.estimate(kind), mean(true[one.name])) for one in ranked]
        known = [(number, result) for number, result in pairs if number is not None]
        tau[kind] = kendall(*zip(*known, strict=True)) if known else None
    return tau
