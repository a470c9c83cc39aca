"""The corpora of MFN by their published features: what is told with which modalities, beside a guess.

FUSION_DATA=DIR python benchmarks/mfn.py [youtube mmmo pom]

Every validation row is told once by a training that has not seen it, from the training rows and the other
half of the validation rows; mean and standard deviation of three seeds.
"""

import runpy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from fusion import Registry, load, read_recipe, train

FILE = Path(__file__).parents[1] / "recipes" / "mfn.py"
SEEDS = (0, 1, 2)
KINDS: dict[str, Callable[[Any], Any]] = {  # 3 stars count as positive; a trait is right when rounded it is
    "youtube": lambda told: told,
    "mmmo": lambda told: told >= 3,
    "pom": np.round,
}


def scores(corpus: str, truth: Any, told: Any) -> dict[str, float]:
    """Return accuracy and weighted F1 in per cent, and mean absolute error and Pearson's r of numbers."""
    right, said = KINDS[corpus](truth), KINDS[corpus](told)
    found = {"accuracy": 100 * float((right == said).mean())}
    if corpus != "pom":
        found["F1"] = 100 * float(f1_score(right, said, average="weighted"))
    if corpus != "youtube":
        found["MAE"] = float(np.abs(truth - told).mean())
        pairs = zip(np.atleast_2d(truth.T), np.atleast_2d(told.T), strict=True)
        found["r"] = float(
            np.mean([np.corrcoef(one, other)[0, 1] if other.std() > 1e-6 else 0.0 for one, other in pairs])
        )
    return found


def guess(corpus: str, train_rows: Any, rows: int) -> Any:
    """Return the commonest class of the training, or the median of its numbers, for every row."""
    if corpus == "youtube":
        return np.full(rows, np.bincount(train_rows.argmax(1)).argmax())
    return np.repeat(np.median(train_rows, axis=0)[None], rows, axis=0)


def answers(corpus: str, seed: int, folder: Path) -> dict[str, tuple[Any, Any]]:
    """Train on either half; return truth and what is told of all rows, by the modalities that are given."""
    script = runpy.run_path(str(FILE))
    parts: dict[str, list[tuple[Any, Any]]] = {}
    for half in (0, 1):
        registry = Registry()
        read_recipe(str(FILE), registry=registry)  # so that its source is known
        run = train(script["of"](corpus, half, seed), folder / f"{corpus}-{half}-{seed}", registry=registry)
        source = script["Opinions"](corpus=corpus, split="valid", half=half)
        rows = [source[place] for place in range(len(source))]
        truth = source.told if corpus == "youtube" else source.truth
        model = load(run, registry=registry)
        names = run.recipe.modalities
        for given in [(name,) for name in names] + [names[:2], *([names] if len(names) > 2 else [])]:
            shown = [{name: row[name] for name in given if name in row} for row in rows]
            there = [place for place, row in enumerate(shown) if row]
            told = model.predict([shown[place] for place in there])["told"].value.double().numpy()
            if corpus != "youtube":
                told = told * source.std + source.mean
            parts.setdefault("+".join(given), []).append((truth[there], told))
    return {given: tuple(map(np.concatenate, zip(*some, strict=True))) for given, some in parts.items()}


def main(corpora: list[str]) -> None:
    for corpus in corpora:
        script = runpy.run_path(str(FILE))
        seen, asked = (script["Opinions"](corpus=corpus, split=split) for split in ("train", "valid"))
        truth = asked.told if corpus == "youtube" else asked.truth
        found = {"a guess": [scores(corpus, truth, guess(corpus, seen.truth, len(truth)))]}
        rows = {"a guess": len(truth)}
        with tempfile.TemporaryDirectory() as folder:
            for seed in SEEDS:
                for given, pair in answers(corpus, seed, Path(folder)).items():
                    found.setdefault(given, []).append(scores(corpus, *pair))
                    rows[given] = len(pair[0])
        print(f"\n{corpus}", *found["a guess"][0], "rows", sep=" | ")
        for given, runs in found.items():
            cells = [[run[name] for run in runs] for name in runs[0]]
            digits = [1 if name in ("accuracy", "F1") else 3 for name in runs[0]]
            told = [
                f"{mean(cell):.{digit}f}" + (f" ± {stdev(cell):.{digit}f}" if len(cell) > 1 else "")
                for cell, digit in zip(cells, digits, strict=True)
            ]
            print(given, *told, rows[given], sep=" | ")


if __name__ == "__main__":
    main(sys.argv[1:] or list(KINDS))
