"""Fine-tuning forgets; on the way between the two models lies one that knows both.

FUSION_DATA=DIR python recipes/wise_ft.py runs/wise_ft    # three seeds, 4 minutes; writes curve.png there

Robust fine-tuning (Wortsman et al. 2022, WiSE-FT): digits of MNIST, then 100 labelled ones of USPS, then
models on the line between the two, measured on both tests (2000 rows each); nothing is chosen by them.
MNIST falls from 96.0 to 78.3 % by fine-tuning, USPS rises from 60.0 to 83.7; half way are 92.9 and 81.3.
"""

import sys
from pathlib import Path
from statistics import mean, stdev

from fusion import Recipe, Run, merge, train

SEEDS = (0, 1, 2)
ALPHAS = tuple(step / 10 for step in range(11))  # which a curve has
BEFORE, AFTER = 400, 200  # steps
KEYS = {name: f"source/{name}/subsets/image/accuracy" for name in ("mnist", "usps")}


def digits(name: str, split: str, **options: object) -> dict[str, object]:
    """Return the source of a split of MNIST or USPS."""
    columns = {"image": f"x_{split}", "label": f"y_{split}"}
    return {"name": "datasets", "data": f"$FUSION_DATA/{name}.npz", "columns": columns, **options}


def recipe(source: dict[str, object], seed: int, steps: int, init: Run | None = None) -> Recipe:
    """Return a training on a source, measured on both tests."""
    return Recipe(
        name="wise_ft",
        init=None if init is None else str(init.folder),
        sources={"all": source},
        encoders={"image": {"name": "scratch-image", "size": 16, "dim": 64}},
        width=64,
        objectives={"digit": {"name": "classify", "classes": 10}},
        train={"steps": steps, "batch": 40, "lr": 2e-3, "seed": seed},
        evaluate={"sources": {name: digits(name, "test", limit=2000) for name in KEYS}, "retrieval": []},
    )


def curve(seed: int, folder: Path) -> list[tuple[float, float]]:
    """Return the accuracy on MNIST and USPS, in per cent, at each ALPHA."""
    before = train(recipe(digits("mnist", "train"), seed, BEFORE), folder / "before")
    few = digits("usps", "train", limit=100)
    after = train(recipe(few, seed, AFTER, before), folder / "after")
    given, keys = [before.folder, after.folder], tuple(KEYS.values())
    run = merge(given, folder / "merged", method="wise-ft", weights=[0.5], curve=keys)
    found = run.manifest["merge"]["curve"]
    return [(100 * kept, 100 * gained) for kept, gained in zip(*(found[key] for key in keys), strict=True)]


def draw(curves: list[list[tuple[float, float]]], path: Path) -> None:
    """Draw what is kept of MNIST against what is gained on USPS, seed by seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for seed, points in zip(SEEDS, curves, strict=False):
        axes.plot(*zip(*points, strict=True), "o-", markersize=3, linewidth=1, label=f"seed {seed}")
        for alpha in (0, 5, 10):
            axes.annotate(f"{ALPHAS[alpha]:g}", points[alpha], (3, 4), textcoords="offset points", fontsize=8)
    axes.set(xlabel="MNIST, kept: accuracy, %", ylabel="USPS, tuned on 100 labels: accuracy, %")
    axes.set_title("From the model of MNIST (0) to the fine-tuned one (1)", fontsize=10)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/wise_ft")
    curves = [curve(seed, place / f"seed-{seed}") for seed in SEEDS]
    draw(curves, place / "curve.png")
    for alpha, points in zip(ALPHAS, zip(*curves, strict=True), strict=True):
        columns = zip(KEYS, zip(*points, strict=True), strict=True)
        told = [f"{name} {mean(column):.1f} ± {stdev(column):.1f}" for name, column in columns]
        print(f"alpha {alpha:.1f}", *told, sep="  ")
