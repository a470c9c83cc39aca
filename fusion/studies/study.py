"""Train the versions of a recipe with several seeds, as far as they are not trained, and compare them."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import PartialState
from pydantic import ValidationError

from fusion.errors import FusionError, RecipeError, TrainingError, unknown
from fusion.recipe.file import Draft, draft
from fusion.recipe.problems import schema_problems
from fusion.recipe.schema import Recipe, Study
from fusion.registry import Registry
from fusion.report.template import write
from fusion.run import RUNS, Run
from fusion.studies.compare import Group, baselines, compare
from fusion.studies.groups import PLAN
from fusion.studies.kept import with_kept
from fusion.studies.page import Findings, render
from fusion.studies.plan import Plan, plan
from fusion.studies.trainings import NEW, expect_data, finished, states
from fusion.training.launch import launch

STUDIES = RUNS / "studies"


class Outcome(NamedTuple):
    """The folder of a study, its finished runs by version and seed, and what they show."""

    folder: Path
    runs: Mapping[str, Mapping[int, Run]]
    findings: Findings

    @property
    def page(self) -> Path:
        return self.folder / "study.html"


def study(
    recipe: str | Path | Recipe,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    over: Mapping[str, Sequence[Any]] | None = None,
    versions: Mapping[str, Sequence[str] | Mapping[str, Any]] | None = None,
    seeds: int | None = None,
    measure: Sequence[str] = (),
    baseline: str | None = None,
    tiny: bool = False,
    retention: bool = True,
    registry: Registry | None = None,
) -> Outcome:
    """Train the versions of a recipe that its section `study` names, or these arguments; compare them.

    `over` is added to that of the recipe, the other arguments replace what is there. All versions are checked
    before the first training. Finished runs in the folder (`out`, or runs/studies/NAME) are
    read, stopped ones go on. One that fails is told, and the study goes on without it and without those that
    start from it; on several processes it ends the study, since the others may not have met the failure.
    `retention` measures what is left of earlier runs: two evaluations for each run that starts from one.

    Raises RecipeError, and RunError where a run in the folder has another recipe.
    """
    registry = registry or Registry()
    given = as_draft(recipe, registry)
    base = given.recipe(overrides, registry)
    asked = {
        "versions": versions or base.study.versions,
        "over": base.study.over | dict(over or {}),
        "seeds": base.study.seeds if seeds is None else seeds,
        "measure": measure or base.study.measure,
        "baseline": baseline or base.study.baseline,
    }
    try:
        settings = Study(**asked)
    except ValidationError as error:
        raise RecipeError(schema_problems(error, Study), "study") from None
    folder = Path(out) if out else STUDIES / f"{base.name}{'-tiny' if tiny else ''}"
    planned = plan(given, overrides, settings, folder, registry, tiny)
    compared = [Group(trial.version, {}) for trial in planned.trials if trial.version.compared]
    if settings.baseline is not None:
        baselines(compared, settings.baseline)  # a mistake is told before the first training
    runs, failed = _train_all(planned, registry)
    if not any(trial.version.compared and trial.version.name in runs for trial in planned.trials):
        first = next(iter(failed.items()))
        raise TrainingError(f"no run of the study came to its end, such as {first[0]}: {first[1]}")
    versions_in_order = list(dict.fromkeys(trial.version for trial in planned.trials))
    groups = [Group(version, runs.get(version.name, {})) for version in versions_in_order]
    groups, unknown = with_kept(groups, registry) if retention else (groups, [])
    comparison = compare(groups, settings.measure, settings.baseline)
    outcome = Outcome(folder, runs, Findings(planned.name, comparison, planned.amount, failed, unknown))
    if os.environ.get("RANK", "0") == "0":
        record = json.dumps(outcome.findings.record(), indent=1, ensure_ascii=False) + "\n"
        write(folder / "study.json", record)
        render(outcome.findings, outcome.page)
    PartialState().wait_for_everyone()  # a process that leaves earlier may be aborted by its own threads
    return outcome


def as_draft(recipe: str | Path | Recipe, registry: Registry) -> Draft:
    if isinstance(recipe, Recipe):
        return Draft(recipe.model_dump(mode="json", exclude_unset=True), {}, recipe.name)
    return draft(recipe, registry)


def _plan(planned: Plan) -> dict[str, Any]:
    versions = dict.fromkeys(trial.version for trial in planned.trials)
    told = {"amount": planned.amount, "baseline": planned.study.baseline, "measures": planned.study.measure}
    return {"versions": [version._asdict() for version in versions], **told}


def _train_all(planned: Plan, registry: Registry) -> tuple[dict[str, dict[int, Run]], dict[str, str]]:
    accelerator = launch(planned.trials[0].recipe.train)
    ranks, main = accelerator.num_processes, accelerator.is_main_process
    trainings = [(trial.recipe, trial.folder) for trial in planned.trials]
    there = states(trainings, ranks, main)
    if set(there) == {NEW}:
        expect_data([trial.recipe for trial in planned.trials], registry)
    if main:
        planned.folder.mkdir(parents=True, exist_ok=True)
        write(planned.folder / PLAN, json.dumps(_plan(planned), indent=1, ensure_ascii=False) + "\n")
    runs: dict[str, dict[int, Run]] = {}
    failed: dict[str, str] = {}
    for number, (trial, state) in enumerate(zip(planned.trials, there, strict=True), 1):
        missing = [path.name for path in trial.needs if path.name in failed]
        if missing:
            failed[trial.folder.name] = f"it starts from {missing[0]}, which failed"
        if main:
            told = failed.get(trial.folder.name, state)
            print(f"[{number}/{len(planned.trials)}] {trial.folder.name}: {told}", file=sys.stderr)
        if missing:
            continue
        try:
            run = finished((trial.recipe, trial.folder), state, registry)
        except FusionError as error:
            if ranks > 1:  # the other processes may not have met it
                raise
            failed[trial.folder.name] = str(error)
            print(f"failed: {error}", file=sys.stderr)
            continue
        absent = [key for key in planned.study.measure if key not in run.metrics]
        if main and not runs and absent and trial.version.compared:
            print(f"warning: {run.folder.name}: {unknown('metric', absent[0], run.metrics)}", file=sys.stderr)
        runs.setdefault(trial.version.name, {})[trial.seed] = run
    return runs, failed
