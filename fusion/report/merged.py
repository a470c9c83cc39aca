"""Show of what a run was merged, and the curve that was measured on the way."""

from collections.abc import Mapping
from typing import Any

from fusion.report.charts import Stop, way
from fusion.report.figures import Chart
from fusion.report.numbers import written
from fusion.report.scores import finite
from fusion.report.tables import Table

NAMED = (0, 0.5, 1)  # weights that are written beside their dots


def members(record: Mapping[str, Any]) -> list[Table]:
    """Return the runs and their weights, as the manifest has it; nothing for one that is not merged."""
    if not record:
        return []
    parts = record.get("parts", {})
    weights = [[run["weight"] for run in record["runs"]], *parts.values()]
    rows = [
        [run["run"], *(f"{weight:.4g}" for weight in own)]
        for run, *own in zip(record["runs"], *weights, strict=True)
    ]
    options = "".join(f", {key} {value}" for key, value in record["options"].items())
    base = f", from what {record['base']['init']} knew" if "base" in record else ""
    by = f", chosen by {record['by']} among {len(record['measured'])} models" if "by" in record else ""
    columns = ["run", "weight", *(f"weight of {part}" for part in parts)]
    return [Table("Runs", columns, rows, f"Merged by {record['method']}{options}{base}{by}.", 1)]


def stops(record: Mapping[str, Any]) -> list[Table]:
    """Return the same numbers that `curve` draws, as a table."""
    if "curve" not in record:
        return []
    keys = list(record["curve"])
    rows = [
        [
            f"{weight:g}",
            *(
                written(key, value) if finite(value) else ""
                for key, value in zip(keys[1:], values, strict=True)
            ),
        ]
        for weight, *values in zip(*record["curve"].values(), strict=True)
    ]
    return [Table("From weight 0 to 1", keys, rows)]


def curve(record: Mapping[str, Any]) -> list[Chart]:
    """Return the way of one metric against another as the weight goes from 0 to 1, if it was measured."""
    if "curve" not in record:
        return []
    x, y = (key for key in record["curve"] if key != "weight")
    stops = [
        Stop(
            first,
            second,
            f"{weight:g}" if weight in NAMED else "",
            f"weight {weight:g}: {x} {written(x, first)}, {y} {written(y, second)}",
        )
        for weight, first, second in zip(*record["curve"].values(), strict=True)
        if finite(first) and finite(second)
    ]
    label = f"{y} against {x}"
    note = f"{record['method']} with the weights 0, 0.1 ... 1: {label}."
    return (
        [Chart("The way from the first run to the second", way(stops, x=x, y=y, label=label), note)]
        if stops
        else []
    )
