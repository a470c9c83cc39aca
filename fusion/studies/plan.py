"""From a recipe's section `study` to the runs that it asks for: versions, points of `over`, seeds."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from fusion.errors import Problem, RecipeError, unknown
from fusion.picks import shrink
from fusion.recipe.file import Draft
from fusion.recipe.schema import Recipe, Study
from fusion.registry import Registry
from fusion.studies.names import Point, Version, amount_axis, axes, version

# a whole value, alone or in a list or mapping: what follows "=", "[", "{", "," or ":", with or without quotes
REFERENCE = re.compile(r"""(?<=[=\[{,:])(\s*)(["']?)@([\w.-]+)((?:/[^\s,\]}"']*)?)\2(?=\s*(?:[,\]}]|$))""")


class Trial(NamedTuple):
    """One training: a version with a seed, and the folders of the runs that it starts from."""

    version: Version
    seed: int
    folder: Path
    recipe: Recipe
    needs: tuple[Path, ...]


class Plan(NamedTuple):
    """All trainings of a study, each after those that it starts from; `amount` is the path of its amounts."""

    name: str
    folder: Path
    study: Study
    trials: list[Trial]
    amount: str | None


class _Step(NamedTuple):
    """A version at a point of `over`, before it has a seed."""

    version: Version
    overrides: list[str]
    needs: dict[str, str]  # the folder's name of each version that it starts from


def plan(
    draft: Draft, overrides: Sequence[str], study: Study, folder: Path, registry: Registry, tiny: bool = False
) -> Plan:
    """Return the runs of a study, all of them checked: every recipe is read and completed.

    A version that others name is trained once a seed, at no point of `over`, unless it is the baseline.
    It is compared only if it is measured on the same rows as one that starts from it. Raises RecipeError.
    """
    base = draft.recipe(overrides, registry)
    steps = list(_steps(study, base.name))
    _expect_different(steps)
    data = {key: value for key, value in draft.data.items() if key != "study"}
    kept = [override for override in overrides if override.partition("=")[0].partition(".")[0] != "study"]
    trials = []
    for seed in range(base.train.seed, base.train.seed + study.seeds):
        for step in steps:
            places = {name: folder / f"{place}-{seed}" for name, place in step.needs.items()}
            given = [_with_paths(text, places) for text in step.overrides]
            one = Draft(data, draft.lines, f"{draft.origin}, version {step.version.name!r}")
            recipe = one.recipe([*kept, *given, f"train.seed={seed}"], registry)
            if tiny:
                small = shrink(recipe, registry)  # it leaves out `init`, but a run of the study is as tiny
                inside = recipe.init in [str(path) for path in places.values()]
                earlier = {"init": recipe.init, "prior": recipe.prior}
                recipe = small.model_copy(update=earlier) if inside else small
            place = folder / f"{step.version.place}-{seed}"
            trials.append(Trial(step.version, seed, place, recipe, tuple(places.values())))
    rows = {trial.folder: trial.recipe.evaluate.sources for trial in trials}
    measured = {place for trial in trials for place in trial.needs if rows[place] == rows[trial.folder]}
    compared = {trial.version.name for trial in trials if trial.folder in measured or trial.version.compared}
    trials = [
        trial._replace(version=trial.version._replace(compared=trial.version.name in compared))
        for trial in trials
    ]
    return Plan(base.name, folder, study, trials, amount_axis(study.over))


def named(texts: Sequence[str]) -> list[str]:
    """Return the versions that overrides name by `@`."""
    return list(dict.fromkeys(match[3] for text in texts for match in REFERENCE.finditer(text)))


def _steps(study: Study, alone: str) -> Iterator[_Step]:
    """Yield each version at each point of `over`, after those that it names."""
    versions: Mapping[str, list[str]] = study.versions or {"" if study.over else alone: []}
    points = [list(point) for point in product(*axes(study.over))]
    across = named([part.override for point in points for part in point])
    needs = {name: list(dict.fromkeys(named(given) + across)) for name, given in versions.items()}
    for name, wanted in needs.items():
        for other in wanted:
            if other not in study.versions:
                path = f"study.versions.{name}" if other in named(versions[name]) else "study.over"
                raise RecipeError([Problem(path, f"@{other}: {unknown('version', other, study.versions)}")])
    origins = {other for wanted in needs.values() for other in wanted} - {study.baseline}
    needs |= {name: named(versions[name]) for name in origins}  # at no point, so without what these name
    amount = amount_axis(study.over)

    def at(name: str, point: Sequence[Point]) -> Version:
        return version(name, [] if name in origins else point, amount, compared=name not in origins)

    for name in _ordered(needs):
        if name in origins and study.over and study.baseline in needs[name]:
            message = (
                f"starts from the baseline, @{study.baseline}, of which there is one at each point of over"
            )
            raise RecipeError([Problem(f"study.versions.{name}", message)])
        for point in [[]] if name in origins else points:
            overrides = [*versions[name], *(part.override for part in point)]
            yield _Step(at(name, point), overrides, {other: at(other, point).place for other in needs[name]})


def _ordered(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the versions, each after those that it needs. Raises RecipeError for a circle."""
    done: list[str] = []

    def visit(name: str, chain: tuple[str, ...]) -> None:
        if name in chain:
            circle = " -> ".join((*chain[chain.index(name) :], name))
            raise RecipeError([Problem(f"study.versions.{name}", f"starts from itself: {circle}")])
        for other in needs[name]:
            visit(other, (*chain, name))
        if name not in done:
            done.append(name)

    for name in needs:
        visit(name, ())
    return done


def _with_paths(text: str, places: Mapping[str, Path]) -> str:
    def path(match: re.Match[str]) -> str:
        return match[1] + json.dumps(f"{places[match[3]]}{match[4]}", ensure_ascii=False)

    return REFERENCE.sub(path, text)


def _expect_different(steps: Sequence[_Step]) -> None:
    places: set[str] = set()
    for step in steps:
        if step.version.place in places:
            message = (
                f"two versions are both called {step.version.place!r}; give them names in study.versions"
            )
            raise RecipeError([Problem("study", message)])
        places.add(step.version.place)
