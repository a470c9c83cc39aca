"""Make the tables of docs/transfer.md: run its studies with three seeds, as far as they are not, and write.

    FUSION_DATA=DIR python benchmarks/transfer.py [table ...]

Runs lie in runs/results/STUDY; finished ones are read, a stopped one goes on. A cell is mean ± deviation over
the seeds, and in brackets the gain over the baseline, paired by seed.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from results import FOLDER, ROOT, write

from fusion import study
from fusion.studies.compare import Comparison, Spread, spread
from fusion.studies.picks import picks
from fusion.studies.study import Outcome

PAGE = ROOT / "docs/transfer.md"
DIGITS, SPEAKERS = ("usps", "mnist", "optdigits"), ("yweweler", "jackson", "theo", "nicolas")


class Column(NamedTuple):
    """One column of a table: a study, the key that is shown, and the point of its axis, if it has one."""

    study: str
    recipe: str
    measure: str
    overrides: Sequence[str] = ()
    point: str = ""


def left_out(recipe: str, own: str, name: str, modality: str) -> Column:
    """Return the study of a recipe in which another source is without labels than the recipe's own."""
    others = [f"sources.{own}.without=[]", f"sources.{name}.without=[label]"]
    measure = f"source/{name}/subsets/{modality}/accuracy"
    return Column(f"{recipe}_{name}", recipe, measure, [] if name == own else others)


def limits(recipe: str) -> dict[str, Column]:
    point, key = " limit={}", "subsets/image/accuracy"
    return {f"{n} labels": Column(recipe, recipe, key, point=point.format(n)) for n in (10, 100, 1000)}


TABLES: Mapping[str, Mapping[str, Column]] = {
    "multi_source_digits": {
        f"to {name}": left_out("multi_source_digits", "usps", name, "image") for name in DIGITS
    },
    "speaker_shift": {
        f"to {name}": left_out("speaker_shift", "yweweler", name, "audio") for name in SPEAKERS
    },
    "fashion_to_digits": limits("fashion_to_digits"),
    "digits_to_fashion": limits("digits_to_fashion"),
}

MNIST = [
    "sources.few.data=$FUSION_DATA/mnist.npz",
    "sources.few.limit=null",
    "train={steps: 300, batch: 64, lr: 2e-3}",
]
WAYS = {
    "frozen": ["encoders.image.tune={mode: frozen}"],
    "none": [],
    **{
        f"{name}-{strength}": [f"prior={{name: {name}, strength: {strength}}}"]
        for name, strengths in {"l2": ["10"], "l2sp": ["3", "10", "30"], "ewc": ["1e4", "3e4", "1e5"]}.items()
        for strength in strengths
    },
}


def run(column: Column) -> Outcome:
    found = study(
        column.recipe, column.overrides, out=FOLDER / column.study, measure=[column.measure], retention=False
    )
    if found.findings.failed:
        raise SystemExit(f"{column.study}: {dict(found.findings.failed)}")
    return found


def table(columns: Mapping[str, Column]) -> str:
    """Return a table: a row for each version, a column for each study or point of one."""
    found = {words: run(column).findings.comparison for words, column in columns.items()}
    names = dict.fromkeys(
        name.removesuffix(column.point)
        for words, column in columns.items()
        for name in found[words].compared
        if name.endswith(column.point)
    )
    lines = [f"| version | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for name in names:
        cells = [_cell(found[words], name + column.point) for words, column in columns.items()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def picked(columns: Mapping[str, Column]) -> str:
    """Return what is picked without a label of the target: the version, and how good it is."""
    lines = [f"| picked by | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    rows: dict[str, list[str]] = {}
    for column in columns.values():
        comparison = run(column).findings.comparison
        told = picks(comparison)
        for one in told:
            rows.setdefault(one.criterion, []).append(_named(comparison, one.version))
        rows.setdefault("labels of the target", []).append(_named(comparison, told[0].best))
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


def _named(comparison: Comparison, name: str) -> str:
    return f"`{name}` {100 * comparison.values[name][comparison.deciding].mean:.1f} %"


def _cell(comparison: Comparison, name: str) -> str:
    value, gain = (
        kind.get(name, {}).get(comparison.deciding) for kind in (comparison.values, comparison.gains)
    )
    if value is None:
        return ""
    return _percent(value) + (f" ({_points(gain)})" if gain is not None else "")


def _percent(value: Spread) -> str:
    return f"{100 * value.mean:.1f} ± {100 * (value.deviation or 0):.1f} %"


def _points(value: Spread) -> str:
    return f"{100 * value.mean:+.1f} ± {100 * (value.deviation or 0):.1f}"


def priors() -> str:
    """Return what USPS with 100 labels gains, and what is left of MNIST, by way of going on."""
    first = {"mnist": MNIST}
    for earlier in study("few_usps", out=FOLDER / "few_usps", versions=first, seeds=3).runs["mnist"].values():
        if not (earlier.folder / "fisher.safetensors").is_file():
            subprocess.run([sys.executable, "-m", "fusion", "fisher", str(earlier.folder)], check=True)
    ways = {name: ["init=@mnist", *way] for name, way in WAYS.items()}
    found = study(
        "few_usps",
        out=FOLDER / "few_usps",
        versions={**first, "scratch": [], **ways},
        seeds=3,
        measure=["source/usps/subsets/image/accuracy"],
        baseline="none",
    ).findings.comparison
    lines = ["| way | USPS | MNIST, kept |", "|---|---|---|"]
    for name in ("scratch", *WAYS):
        left = {seed: one.after for seed, one in found.groups[name].kept.items()}
        kept = spread(left, "source/mnist/subsets/image/accuracy")
        lines.append(f"| `{name}` | {_cell(found, name)} | {_percent(kept) if left else ''} |")
    return "\n".join(lines)


MAKERS: Mapping[str, Callable[[], str]] = {
    "few_usps": priors,
    **{name: partial(table, columns) for name, columns in TABLES.items()},
    **{f"{name}: picks": partial(picked, TABLES[name]) for name in ("multi_source_digits", "speaker_shift")},
}


def main(names: list[str]) -> None:
    for name in names or MAKERS:
        made = MAKERS[name]()
        print(f"\n{name}\n{made}", flush=True)
        write(name, made, PAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
