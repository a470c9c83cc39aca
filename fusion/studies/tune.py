"""Look for the values of a recipe's keys with which a metric is best, training after training."""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator, PartialState

from fusion.data import lines
from fusion.errors import FusionError, Problem, RecipeError, RunError, TrainingError, unknown
from fusion.picks import shrink
from fusion.recipe.axis import Axis, Range, axis, override
from fusion.recipe.file import Draft
from fusion.recipe.schema import Recipe
from fusion.recipe.text import dump
from fusion.registry import Registry
from fusion.report.numbers import lower_is_better
from fusion.report.template import write
from fusion.run import RUNS
from fusion.studies.names import number
from fusion.studies.space import Result, Values, importance, library, propose
from fusion.studies.study import as_draft
from fusion.studies.trainings import expect_data, finished, states
from fusion.studies.tuned import Tried, Tuned, render
from fusion.training.agree import agreed
from fusion.training.launch import launch

TUNES = RUNS / "tunes"


class Found(NamedTuple):
    """The folder of a search, what was tried, and what it shows."""

    folder: Path
    tuned: Tuned

    @property
    def page(self) -> Path:
        return self.folder / "tune.html"

    @property
    def best(self) -> Path:
        """The recipe of the best trial."""
        return self.folder / "best.yaml"


class _Search(NamedTuple):
    """What is looked for, and where."""

    given: Draft
    overrides: Sequence[str]
    over: Mapping[str, Axis]
    metric: str
    sign: int
    seed: int
    folder: Path
    tiny: bool

    @property
    def journal(self) -> Path:
        return self.folder / "trials.jsonl"

    def told(self) -> dict[str, Any]:
        """Return what cannot change when the search goes on."""
        axes = {path: str(axis) if isinstance(axis, Range) else axis for path, axis in self.over.items()}
        return {"over": axes, "by": self.metric, "less_is_better": self.sign < 0, "seed": self.seed}

    def recipe(self, values: Values, registry: Registry) -> Recipe:
        draft = self.given._replace(data=_without_study(self.given.data))
        recipe = draft.recipe([*self.overrides, *(override(*value) for value in values.items())], registry)
        return shrink(recipe, registry) if self.tiny else recipe


def tune(
    recipe: str | Path | Recipe,
    overrides: Sequence[str] = (),
    *,
    over: Mapping[str, Axis | str],
    by: str,
    trials: int = 20,
    seed: int = 0,
    out: str | Path | None = None,
    tiny: bool = False,
    registry: Registry | None = None,
) -> Found:
    """Train the recipe with values of the paths in `over`, up to so many times, and tell which are best.

    `over` has lists of values, and ranges such as "log:1e-4:1e-2". `by` is a key of metrics.json; less of it
    is better where it is an error, or where it is written "-KEY". The first trial is the recipe as it is, if
    that lies in `over`. The search in the folder (`out`, or runs/tunes/NAME) goes on: finished trials are
    kept, a stopped one too. One that fails is told, and the search goes on without it; on several processes
    it ends the search.

    Raises RecipeError for a recipe or metric that is wrong in itself, and RunError for another search there.
    """
    library()  # a missing one is told before anything is trained
    registry = registry or Registry()
    given = as_draft(recipe, registry)
    base = given.recipe(overrides, registry)
    metric = by.removeprefix("-")
    sign = -1 if by.startswith("-") or lower_is_better(metric) else 1
    folder = Path(out) if out else TUNES / f"{base.name}{'-tiny' if tiny else ''}"
    if not over:
        raise RecipeError([Problem("over", "give a key to look over, such as train.lr=log:1e-4:1e-2")])
    axes = {path: axis(f"{path}={one}")[1] if isinstance(one, str) else one for path, one in over.items()}
    search = _Search(given, overrides, axes, metric, sign, seed, folder, tiny)
    tried = _search(search, base, trials, registry)
    results = _results(tried, sign)
    if not results:
        raise TrainingError(f"no trial came to its end, such as trial 0: {tried[0].failed}")
    shares = importance(axes, results)
    as_it_is = tried[0] if tried[0].values == _there(base, axes) else None
    tuned = Tuned(base.name, axes, metric, sign, tried, as_it_is, shares, metric.startswith("train/best_"))
    found = Found(folder, tuned)
    if os.environ.get("RANK", "0") == "0":
        chosen = [override(*value) for value in tuned.best.values.items()]
        data = given.overridden([*overrides, *chosen])[0]
        write(found.best, dump(_without_study(data)))
        write(folder / "tune.json", json.dumps(tuned.record(), indent=1, ensure_ascii=False) + "\n")
        render(tuned, found.page)
    PartialState().wait_for_everyone()  # a process that leaves earlier may be aborted by its own threads
    return found


def _search(search: _Search, base: Recipe, trials: int, registry: Registry) -> list[Tried]:
    accelerator = launch(base.train)
    main = accelerator.is_main_process
    tried = agreed(lambda: _begin(search), accelerator)
    if not tried:
        expect_data([base], registry)
    for count in range(len(tried), trials):
        values = agreed(lambda: _next(search, base, tried), accelerator)
        if values is None:
            if main:
                print(f"every place was looked at; the search ends after {count} trials", file=sys.stderr)
            break
        one = _try(search, Tried(count, values), f"{count + 1}/{trials}", accelerator, registry)
        if one.score is None and not one.failed:
            if not any(other.score is not None for other in tried):
                raise RecipeError([Problem("by", unknown("metric", search.metric, one.known))])
            one = one._replace(failed=f"it has no {search.metric}")
        tried.append(one)
        if main:
            lines.append(search.journal, [one.record()])
            if one.failed:
                print(f"failed: {one.failed}", file=sys.stderr)
    return tried


def _begin(search: _Search) -> list[Tried]:
    """Return what was tried in the folder so far. Raises RunError for another search."""
    there, told = lines.read(search.journal), search.told()
    if len(there) > 1 and there[0] != json.loads(json.dumps(told)):
        raise RunError(
            f"{search.folder} has another search, {json.dumps(there[0])}; choose another --out, or delete it"
        )
    search.folder.mkdir(parents=True, exist_ok=True)
    lines.rewrite(search.journal, [told, *there[1:]])  # without a line that a kill has torn
    return [Tried(line["trial"], line["values"], line["score"], line["failed"]) for line in there[1:]]


def _next(search: _Search, base: Recipe, tried: Sequence[Tried]) -> Values | None:
    there = _there(base, search.over)
    if not tried and all(_holds(axis, there[path]) for path, axis in search.over.items()):
        return there  # the recipe as it is
    results = _results(tried, search.sign)
    worst = min((result.score for result in results), default=0.0)
    failed = [Result(one.values, worst) for one in tried if one.failed]  # so that it looks elsewhere
    return propose(search.over, search.seed, results + failed, [one.values for one in tried])


def _try(search: _Search, one: Tried, place: str, accelerator: Accelerator, registry: Registry) -> Tried:
    """Return the trial with its score, or with why it failed; with neither if it has no such metric."""
    folder, ranks, main = search.folder / one.name, accelerator.num_processes, accelerator.is_main_process
    try:
        training = search.recipe(one.values, registry), folder
    except RecipeError as error:
        return one._replace(failed="; ".join(f"{fault.path}: {fault.message}" for fault in error.problems))
    [state] = states([training], ranks, main)
    if main:
        print(f"[{place}] {one}: {state}", file=sys.stderr)
    try:
        run = finished(training, state, registry)
    except FusionError as error:
        if ranks > 1:  # the other processes may not have met it
            raise
        return one._replace(failed=str(error))
    metrics = agreed(lambda: run.metrics, accelerator)
    score = metrics.get(search.metric)
    if not number(score):
        return one._replace(known=[key for key, value in metrics.items() if number(value)])
    return (
        one._replace(score=score)
        if math.isfinite(score)
        else one._replace(failed=f"{search.metric} is {score}")
    )


def _results(tried: Sequence[Tried], sign: int) -> list[Result]:
    return [Result(one.values, sign * one.score) for one in tried if one.score is not None]


def _holds(axis: Axis, value: Any) -> bool:
    return axis.holds(value) if isinstance(axis, Range) else value in axis


def _there(base: Recipe, over: Mapping[str, Axis]) -> dict[str, Any]:
    """Return what the recipe itself has at each path, None where it has nothing."""
    found = {}
    for path in over:
        value: Any = base.model_dump(mode="json")
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        found[path] = value
    return found


def _without_study(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != "study"}
