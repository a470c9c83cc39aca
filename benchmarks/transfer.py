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


class Sequel(NamedTuple):
    """A training on few labels after one on another task: `first`, then all of `ways`, each with `common`."""

    study: str
    words: tuple[str, str]  # of the target and the source
    keys: tuple[str, str]  # what is measured of them
    first: Sequence[str]
    ways: Mapping[str, Sequence[str]]
    common: Sequence[str] = ()


def pulled(**strengths: Sequence[str]) -> dict[str, Sequence[str]]:
    return {
        f"{name}-{strength}": [f"prior={{name: {name}, strength: {strength}}}"]
        for name, of in strengths.items()
        for strength in of
    }


def rows(data: str, split: str) -> str:
    return f"data: $FUSION_DATA/{data}.npz, columns: {{image: x_{split}, label: y_{split}}}"


LONGER = ["sources.few.limit=null", "train={steps: 300, batch: 64, lr: 2e-3}"]
SEQUELS = {
    "few_usps": Sequel(
        "few_usps",
        ("USPS", "MNIST, kept"),
        ("source/usps/subsets/image/accuracy", "source/mnist/subsets/image/accuracy"),
        ["sources.few.data=$FUSION_DATA/mnist.npz", *LONGER],
        {
            "frozen": ["encoders.image.tune={mode: frozen}"],
            "none": [],
            **pulled(l2=["10"], l2sp=["3", "10", "30"], ewc=["1e4", "3e4", "1e5"]),
        },
    ),
    "few_mnist": Sequel(
        "few_mnist",
        ("MNIST", "Fashion-MNIST, kept"),
        ("subsets/image/accuracy", "subsets/image/accuracy"),
        [
            "sources.few.data=$FUSION_DATA/fashion_mnist.npz",
            f"evaluate.sources={{test: {{name: datasets, {rows('fashion_mnist', 'test')}}}}}",
            "objectives={garment: {name: classify, classes: 10}}",  # its head is not handed on
            *LONGER,
        ],
        {"none": [], **pulled(l2sp=["10"], ewc=["3e4"])},
        [
            "sources.few.data=$FUSION_DATA/mnist.npz",
            f"evaluate.sources={{test: {{name: datasets, {rows('mnist', 'test')}, limit: 2000}}}}",
        ],
    ),
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


def sequel(one: Sequel) -> str:
    """Return what the target gains by each way of going on, and what is left of the source."""
    place, first = FOLDER / one.study, {"first": one.first}
    for earlier in study("few_usps", one.common, out=place, versions=first, seeds=3).runs["first"].values():
        if not (earlier.folder / "fisher.safetensors").is_file():
            subprocess.run([sys.executable, "-m", "fusion", "fisher", str(earlier.folder)], check=True)
    ways = {name: ["init=@first", *way] for name, way in one.ways.items()}
    found = study(
        "few_usps",
        one.common,
        out=place,
        versions={**first, "scratch": [], **ways},
        seeds=3,
        measure=[one.keys[0]],
        baseline="none",
    ).findings.comparison
    lines = [f"| way | {' | '.join(one.words)} |", "|---|---|---|"]
    for name in ("scratch", *one.ways):
        left = {seed: kept.after for seed, kept in found.groups[name].kept.items()}
        share = _percent(spread(left, one.keys[1])) if left else ""
        lines.append(f"| `{name}` | {_cell(found, name)} | {share} |")
    return "\n".join(lines)


MAKERS: Mapping[str, Callable[[], str]] = {
    **{name: partial(sequel, one) for name, one in SEQUELS.items()},
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
