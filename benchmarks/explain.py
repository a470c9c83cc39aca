"""What explanations cost beside the answers that they explain, and whether attributions find what matters.

    python benchmarks/explain.py RUN [rounds] [rows] [SCRIPT.py]

RUN is a finished run with images and one task, SCRIPT a file that offers its rows. With 0 rounds no time is
taken. The last figures are of so many test rows, image alone: how far the score of the answer falls when
a tenth of the pixels turns black, those that speak for it, the brightest, or any.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from table import in_turns, row

from fusion import Predictor, Registry, Run, load
from fusion.build import Source, build_tables
from fusion.data.collate import Collator
from fusion.data.order import Slots
from fusion.evaluation import sweep
from fusion.evaluation.embed import embed
from fusion.recipe.file import run_script

SHARE = 0.1


def timed(run: Callable[[], Any]) -> Callable[[], float]:
    def call() -> float:
        start = time.perf_counter()
        run()
        return 1000 * (time.perf_counter() - start)

    return call


def evaluated(predictor: Predictor, rows: list[dict[str, Any]], most: int) -> Callable[[], Any]:
    model, collator = predictor.model, Collator(predictor.model.processors, {})
    batch = collator.stack([collator.decode(one) for one in rows], Slots.unnumbered(len(rows)))

    def run() -> None:
        sweep.MOST = most
        sweep.collect(model, batch, predictor.recipe.subsets())

    return run


def fallen(predictor: Predictor, image: Any, random: np.random.Generator) -> list[float]:
    """Return by how much the score falls without the pixels that most speak for it, or without others."""
    found = predictor.explain({"image": image}, attribute=True)
    [task] = found.answers
    answer, score = (part[0] for part in found.answers[task])
    told = found.attributions[task]["image"]
    pixels = (told.given.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    values = told.values.sum(0).numpy().ravel()
    count = round(SHARE * len(values))
    falls = []
    brightest = pixels.reshape(-1, 3).sum(1, dtype=int).argsort()[-count:]
    for chosen in (values.argsort()[-count:], brightest, random.permutation(len(values))[:count]):
        black = pixels.copy()
        black.reshape(-1, 3)[chosen] = 0
        without = predictor.predict({"image": black})[task].score[0, answer]
        falls.append(float(score[answer] - without))
    return falls


def times(predictor: Predictor, run: Run, source: Source, rounds: int, registry: Registry) -> None:
    every = [{name: source[n][name] for name in run.recipe.modalities} for n in range(256)]
    one = every[0]
    pairs: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        ("256 rows, contributions", evaluated(predictor, every, 10), evaluated(predictor, every, 0)),
        ("explain a row", lambda: predictor.explain(one), lambda: predictor.predict(one)),
        ("attribute", lambda: predictor.explain(one, attribute=True), lambda: predictor.predict(one)),
    ]
    with TemporaryDirectory() as place:
        name = next(iter(run.recipe.sources))
        parts, weights = Path(place) / "parts", run.manifest["files"][run.model_file.name]
        embed(predictor.model, run.recipe, name, parts, registry, Accelerator(cpu=True), weights=weights)
        near = {"nearest": 5, "source": name}
        read = lambda: predictor.explain(one, **near, embedded=parts)  # noqa: E731
        pairs.append(("nearest, embedded", read, lambda: predictor.explain(one, **near)))
        for what, ours, peer in pairs:
            row(what, *in_turns(rounds, timed(ours), timed(peer)), "ms")


def main(folder: str, rounds: int = 5, rows: int = 100, script: str | None = None) -> None:
    torch.set_num_threads(1)
    registry, run = Registry(), Run(Path(folder))
    if script is not None:
        run_script(Path(script), registry)
    predictor = load(run, "cpu", registry)
    [source] = build_tables(run.recipe.evaluate.sources, registry).values()
    if rounds:
        times(predictor, run, source, rounds, registry)
    random = np.random.default_rng(0)
    falls = np.array([fallen(predictor, source[n]["image"], random) for n in range(rows)])
    for what, column in zip(("that speak for it", "the brightest", "at random"), falls.T, strict=True):
        print(f"a tenth of the pixels, {what}: the score falls by {column.mean():.3f}, {rows} rows")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]), *sys.argv[4:5])
