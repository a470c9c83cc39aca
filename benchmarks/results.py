"""Train the recipes with three seeds each and write what comes out into the tables of docs/results.md.

    FUSION_DATA=DIR FUSION_MINILM=DIR python benchmarks/results.py [experiment ...]

FUSION_DATA holds the packs that the recipes name, FUSION_MINILM the weights of all-MiniLM-L6-v2; what needs
one that is not set is left out. Each table is that of a study (runs/results/...): finished runs are read, a
stopped one goes on, so the tables can be made in several sittings.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from fusion import Run, measure, study

ROOT = Path(__file__).parents[1]
FOLDER, PAGE = Path("runs/results"), ROOT / "docs/results.md"


class Experiment(NamedTuple):
    """A recipe, in several versions of it, and what is measured.

    `shown` are keys of metrics.json by the words for them, `columns` the versions of the table (all where
    there are none); `also` evaluates once more with such an override, and gives its metrics that prefix.
    `overrides` are common to all versions, `folder` is that of a study that several tables share.
    """

    recipe: str
    shown: Mapping[str, str]
    versions: Mapping[str, Sequence[str]] = {}
    also: tuple[str, str] | None = None
    needs: str | None = "FUSION_DATA"
    columns: Sequence[str] = ()
    overrides: Sequence[str] = ()
    folder: str | None = None


def subsets(*given: str) -> dict[str, str]:
    return {f"{name}: accuracy": f"subsets/{name}/accuracy" for name in given}


def averaged(*given: str) -> dict[str, str]:
    """Return the keys of the baseline that needs no fuser: the single modalities' answers, averaged."""
    return {f"{name}, averaged: accuracy": f"subsets/{name}/averaged/accuracy" for name in given}


def found(*pairs: str, of: str) -> dict[str, str]:
    """Return the keys of retrieval for pairs such as "image->text"."""
    return {f"{pair.replace('->', ' → ')}: {of}": f"retrieval/{pair}/{of}" for pair in pairs}


def zero_shot(*names: str) -> dict[str, str]:
    return {f"{name}, by the names of the classes: accuracy": f"zero_shot/{name}/accuracy" for name in names}


SIX = ("image->text", "text->image", "image->audio", "audio->image", "text->audio", "audio->text")
SINGLE = ("image", "text", "audio")
SEVERAL = ("image+text", "image+audio", "text+audio", "image+text+audio")
FUSED = subsets(*SINGLE, *SEVERAL) | averaged(*SEVERAL)
BOUND = found("image->audio", "audio->image", of="hit@1")
UNHEARD = {f"{words}, speaker left out": f"speaker/{key}" for words, key in BOUND.items()}
FUSERS = ("mean", "concat", "gate", "attend", "bottleneck", "lowrank")
EXPERIMENTS = {
    "bind_digits": Experiment("bind_digits", BOUND | zero_shot("image", "audio"), needs=None),
    "fuse_digits": Experiment("fuse_digits", FUSED, needs=None),
    "missing_audio": Experiment(
        "fuse_digits",
        subsets("image", "text", "image+text", "image+text+audio"),
        {"zeros": ["fuser.modality_dropout=0.0"], "dropout": ["fuser.modality_dropout=0.4"]},
        needs=None,
    ),
    "speech_digits": Experiment(
        "speech_digits",
        BOUND | zero_shot("image", "audio") | UNHEARD,
        also=("speaker", "evaluate.sources.heard.where={speaker: jackson}"),
    ),
    "avdigits": Experiment(
        "recipes/avdigits.py", FUSED, {fuser: [f"fuser.name={fuser}"] for fuser in FUSERS}
    ),
    "photos": Experiment("photos", found(*SIX, of="recall@1") | found(*SIX, of="recall@10")),
    "photos_minilm": Experiment(
        "recipes/photos_minilm.py",
        found(*SIX, of="recall@1") | found(*SIX, of="recall@10"),
        needs="FUSION_MINILM",
        overrides=[f"encoders.text.model={os.environ.get('FUSION_MINILM')}"],
    ),
    "emoji": Experiment("emoji", found(*SIX[:2], of="recall@1") | found(*SIX[:2], of="recall@10")),
    "sounds": Experiment("sounds", zero_shot("audio") | subsets("audio")),
    "vgg16_fashion": Experiment(
        "vgg16_cifar10", subsets("image"), columns=["clothes"], folder="vgg16_cifar10"
    ),
    "vgg16_cifar10": Experiment(
        "vgg16_cifar10", subsets("image"), columns=["scratch", "frozen", "gradual", "full"]
    ),
}


def measured(name: str) -> dict[str, list[dict[str, Any]]]:
    """Return the metrics of an experiment by version, a seed each, trained as far as they are not."""
    one = EXPERIMENTS[name]
    path = str(ROOT / one.recipe) if one.recipe.endswith(".py") else one.recipe
    found = study(
        path,
        one.overrides,
        out=FOLDER / (one.folder or name),
        versions=one.versions,
        seeds=3,
        retention=False,
    )
    if found.findings.failed:
        raise SystemExit(f"{name}: {dict(found.findings.failed)}")
    columns = one.columns or list(found.runs)
    return {version: [_metrics(run, one.also) for run in found.runs[version].values()] for version in columns}


def _metrics(run: Run, also: tuple[str, str] | None) -> dict[str, Any]:
    if also is None:
        return run.metrics
    prefix, override = also
    kept = run.folder / f"{prefix}.json"
    if not kept.is_file():
        kept.write_text(json.dumps(measure(run, [override])))
    return run.metrics | {f"{prefix}/{key}": value for key, value in json.loads(kept.read_text()).items()}


def table(name: str) -> str:
    """Return the table of an experiment: a row for each figure, a column for each version."""
    runs = measured(name)
    heads = ["mean ± deviation"] if len(runs) == 1 else list(runs)
    lines = [f"| measured | {' | '.join(heads)} |"]
    lines.append("|---" * (1 + len(runs)) + "|")
    for words, key in EXPERIMENTS[name].shown.items():
        cells = [_spread([100 * metrics[key] for metrics in of], "%") for of in runs.values()]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    times = [_spread([metrics["train/seconds"] for metrics in of], "s", 0) for of in runs.values()]
    return "\n".join([*lines, f"| training | {' | '.join(times)} |"])


def _spread(values: list[float], unit: str, digits: int = 1) -> str:
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f} {unit}"


def write(name: str, made: str, to: Path = PAGE) -> None:
    """Put a table into its place on a page. Raises SystemExit when the page has none."""
    page = to.read_text("utf-8")
    before, marker, rest = page.partition(f"<!-- table: {name} -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    if not (marker and end):
        raise SystemExit(f"{to} has no place for {name}; write <!-- table: {name} --> and <!-- end -->")
    to.write_text(f"{before}{marker}\n{made}\n\n{end}{after}", "utf-8")


def main(names: list[str]) -> None:
    for name in names or EXPERIMENTS:
        needs = EXPERIMENTS[name].needs
        if needs and needs not in os.environ:
            print(f"{name} is left out: {needs} is not set", file=sys.stderr)
            continue
        made = table(name)
        print(f"\n{name}\n{made}", flush=True)
        write(name, made)


if __name__ == "__main__":
    main(sys.argv[1:])
