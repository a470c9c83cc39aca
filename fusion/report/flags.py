"""Show the red flags of an evaluation by attacks: whether it can be believed."""

from collections.abc import Mapping
from typing import Any

from fusion.report.numbers import count, plain, share
from fusion.report.stress import Record
from fusion.report.tables import Mark, Marked, Table

LIMIT = 0.05
"""The share of rows from which random outputs, or zero gradients, are a flag."""


def flags(record: Record) -> list[Table]:
    """Return a table with a line for each that was attacked; none where nothing was."""
    found = {name: seen for name, seen in record.told.get("flags", {}).items() if seen}
    if not found:
        return []
    steps = list(next(iter(found.values()))["harm"])
    columns = ["attacked", "rows", "random outputs", "zero gradients"]
    columns += [f"harm, {step} step{'s' if step != '1' else ''}" for step in steps]
    spared = record.told["spared"]
    note = (
        "Red: the model may be weaker than it looks here. Its answers are random, its gradient does not say "
        "where to go, or fewer steps do more harm than many; the harm is the mean over rows."
    )
    if spared:
        note += f" Not attacked, as no raw samples can be moved a little: {', '.join(spared)}."
    return [Table("Red flags", columns, [_line(name, seen) for name, seen in found.items()], note)]


def _line(name: str, seen: Mapping[str, Any]) -> list[str]:
    one, few, many = seen["harm"].values()
    weak = [seen["one_step_stronger"], seen["more_steps_weaker"], False]
    shares = [seen["random_outputs"], seen["zero_gradients"]]
    return [
        name,
        count(seen["rows"]),
        *(_marked(share(value), value > LIMIT) for value in shares),
        *(_marked(plain(value), flagged) for value, flagged in zip((one, few, many), weak, strict=True)),
    ]


def _marked(text: str, flagged: bool) -> str:
    return Marked(text, Mark.WORSE) if flagged else text
