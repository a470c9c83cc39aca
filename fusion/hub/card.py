"""The card of a run on the hub: what it is, where it comes from, what was measured, and what was not."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fusion.errors import RunError
from fusion.hub.fetch import REPOSITORY
from fusion.manifest import SIGNATURE
from fusion.recipe.schema import Recipe
from fusion.recipe.text import dump
from fusion.report import scores
from fusion.report.tables import Table, results
from fusion.run import Run

UNKNOWN = "not known"
LEFT_OUT = ("Rows seen in training", "Further numbers")
"""Tables of a report that a stranger has no use for."""


def card(run: Run, name: str, licence: str | None = None, licences: Mapping[str, str] | None = None) -> str:
    """Return the card, Markdown with the front matter that the hub reads, for a run called `name` there.

    `licence` is that of the run, `licences` are those of the weights that its encoders began with, by
    modality. All else is read from the run. Raises RunError where it is not finished, and for no such name.
    """
    if not re.fullmatch(REPOSITORY, name):
        raise RunError(f"{name!r} is no name of a repository; give one like org/name, without a revision")
    recipe, record = run.recipe, run.manifest
    measured = scores.sort(run.metrics)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; cells of tables are escaped below  # nosec B701
    )
    environment.filters["markdown"] = markdown
    distributions = {about["distribution"] for about in record["plugins"].values()} - {"fusion"}
    return environment.get_template("card.md").render(
        front=_front(run, licence),
        name=name,
        what=_what(recipe),
        packages=" ".join(sorted({"fusion-bind", *distributions})),
        modalities=list(recipe.modalities),
        width=recipe.width,
        answers=bool(measured.subsets),
        signed=(run.folder / SIGNATURE).is_file(),
        tables=[
            _encoders(recipe, record["weights"], licences or {}),
            _sources(recipe),
            *(table for table in results(measured) if table.caption not in LEFT_OUT),
        ],
        limits=_limits(run, measured),
    )


def markdown(table: Table) -> str:
    """Return a table in Markdown, its first `names` columns to the left and the others to the right."""
    lines = [table.columns, ["---" if at < table.names else "--:" for at in range(len(table.columns))]]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in [*lines, *table.rows])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _front(run: Run, licence: str | None) -> str:
    origins = (origin["model"] for origin in run.manifest["weights"].values() if "revision" in origin)
    front = {
        "library_name": "fusion-bind",
        "license": licence,
        "base_model": sorted(set(origins)) or None,
        "tags": ["multimodal", "fusion", *run.recipe.modalities],
    }
    return f"---\n{dump({key: value for key, value in front.items() if value})}---\n"


def _what(recipe: Recipe) -> str:
    parts = ", ".join(f"`{pick.name}` ({name})" for name, pick in recipe.objectives.items())
    return (
        f"Puts {_listed(recipe.modalities)} into one space of width {recipe.width} and fuses what a row has "
        f"by `{recipe.fuser.name}`; rows may lack modalities. Trained for {recipe.train.steps} steps of "
        f"{recipe.train.batch} rows, seed {recipe.train.seed}, with {parts}."
    )


def _listed(names: Any) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else str(last)


def _encoders(recipe: Recipe, weights: Mapping[str, Mapping[str, str]], licences: Mapping[str, str]) -> Table:
    rows = []
    for name, pick in recipe.encoders.items():
        origin = weights.get(name, {})
        begun = PurePath(origin["model"]).name if origin and "revision" not in origin else origin.get("model")
        at = f"{begun}@{origin['revision']}" if "revision" in origin else begun or "random weights"
        rows.append([name, pick.name, at, licences.get(name, UNKNOWN if origin else ""), pick.tune.mode])
    columns = ["modality", "encoder", "began with", "licence of that", "tuned"]
    note = "Weights whose licence is not known may not be free to share." if any(weights.values()) else ""
    return Table("Encoders", columns, rows, note, len(columns))


def _sources(recipe: Recipe) -> Table:
    rows = [
        [name, pick.name, "training", f"{pick.weight:g}", _where(pick.options)]
        for name, pick in recipe.sources.items()
    ]
    rows += [
        [name, pick.name, "measured", "", _where(pick.options)]
        for name, pick in recipe.evaluate.sources.items()
    ]
    return Table("Sources", ["source", "component", "for", "weight", "options"], rows, "", 5)


def _where(options: Mapping[str, Any]) -> str:
    """Return the options of a source, without folders, which are of somebody's machine."""
    return ", ".join(f"{key}: {_named(value)}" for key, value in options.items() if value is not None)


def _named(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _named(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_named(part) for part in value]
    return PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value


def _limits(run: Run, measured: scores.Scores) -> list[str]:
    recipe, found = run.recipe, []
    if not recipe.evaluate.sources:
        found.append("Nothing was measured.")
    else:
        rows = sorted({score.rows for score in measured.subsets if score.rows})
        of = f" ({rows[0]:,} rows a subset of modalities, or more)" if rows else ""
        found.append(f"Measured on {_listed(recipe.evaluate.sources)} only{of}, with one seed.")
    if (run.folder / run.calibration_file.name).is_file():
        found.append("Probabilities are at a temperature that was fitted on rows held back.")
    else:
        found.append("Probabilities are as trained: nothing says that they are as sure as they are right.")
    if (run.folder / "compression.json").is_file():
        found.append("The model was compressed; what was measured before and after is in its run.")
    for name in ("corruption", "attack"):
        if not (run.folder / f"stress-{name}.json").is_file():
            found.append(f"What is left of it under {name} was not measured (`--stress {name}`).")
    return found
