"""Runs that differ in the seed alone become a mean and a deviation; gains over a baseline, seed by seed."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple

from fusion.errors import Problem, RecipeError, unknown
from fusion.recipe.schema import Recipe
from fusion.report.numbers import lower_is_better
from fusion.report.scores import Score, finite, leading, sort
from fusion.run import Run
from fusion.studies.names import Version
from fusion.transfer.retention import Retention

SHOWN = 2  # scores of a kind that are shown where no measure is named


class Spread(NamedTuple):
    """A number by seed, its mean, and its deviation over the seeds (n - 1), which one seed does not have."""

    by_seed: Mapping[int, float]

    @property
    def mean(self) -> float:
        return mean(self.by_seed.values())

    @property
    def deviation(self) -> float | None:
        return stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None

    @property
    def within(self) -> bool:
        """Whether it is nearer to zero than one deviation, or there is none: no sign can be told."""
        return self.deviation is None or abs(self.mean) <= self.deviation

    def record(self) -> dict[str, Any]:
        return {"mean": self.mean, "deviation": self.deviation, "by_seed": dict(self.by_seed)}


class Group(NamedTuple):
    """A version, its finished runs by seed, and what those have left of the runs that they started from."""

    version: Version
    runs: Mapping[int, Run]
    kept: Mapping[int, Retention] = {}

    @property
    def recipe(self) -> Recipe:
        """The recipe of one of the runs; they differ in the seed alone."""
        return next(iter(self.runs.values())).recipe


class Comparison(NamedTuple):
    """Versions side by side; what was not measured is in no mapping."""

    groups: Mapping[str, Group]  # by the version's name, also those that others only start from
    measures: Sequence[str]
    values: Mapping[str, Mapping[str, Spread]]  # by version and measure
    baselines: Mapping[str, str]  # of each version that has one, the version that it is told against
    gains: Mapping[str, Mapping[str, Spread]]  # better is positive

    @property
    def compared(self) -> dict[str, Group]:
        return {name: group for name, group in self.groups.items() if group.version.compared}

    def paired(self, measure: str) -> dict[str, Spread]:
        """Return a measure of the compared versions over the seeds that all of them have; empty for none."""
        known = {name: self.values[name][measure] for name in self.compared if measure in self.values[name]}
        common = set.intersection(*(set(value.by_seed) for value in known.values())) if known else set()
        if not common:
            return {}
        return {
            name: Spread({seed: value.by_seed[seed] for seed in sorted(common)})
            for name, value in known.items()
        }

    @property
    def deciding(self) -> str:
        """The measure by which versions are drawn, needed amounts told and picks judged."""
        return self.measures[0]


def compare(groups: Sequence[Group], measures: Sequence[str] = (), baseline: str | None = None) -> Comparison:
    """Return means, deviations over seeds, and gains over the baseline, paired by seed.

    Raises RecipeError for a measure that no run has and a baseline that is no version.
    """
    compared = [group for group in groups if group.version.compared and group.runs]
    metrics = {
        group.version.name: {seed: run.metrics for seed, run in group.runs.items()} for group in groups
    }
    every = [found for group in compared for found in metrics[group.version.name].values()]
    chosen = list(measures) or default_measures(every[0] if every else {})
    known = {key for found in every for key, value in found.items() if finite(value)}
    problems = [Problem("measure", unknown("metric", key, known)) for key in chosen if key not in known]
    if problems:
        raise RecipeError(problems, "study")
    values = {
        name: {key: found for key in chosen if (found := spread(runs, key)).by_seed}
        for name, runs in metrics.items()
    }
    measured = [group for group in compared if chosen and chosen[0] in values[group.version.name]]
    against = baselines(compared if baseline is not None else measured, baseline)
    gains = {
        name: {
            key: gain
            for key, value in values[name].items()
            if key in values[other] and (gain := _gain(value, values[other][key], key)).by_seed
        }
        for name, other in against.items()
    }
    there = {group.version.name: group for group in groups if group.runs}
    return Comparison(there, chosen, values, against, gains)


def baselines(groups: Sequence[Group], wanted: str | None = None) -> dict[str, str]:
    """Return for each version the one that its gain is told over: the baseline at the same point.

    `wanted` is the whole name of a version, or a part of several. Without it, it is the first version that
    takes from no earlier run. Raises RecipeError for one that is not there.
    """
    versions = {group.version.parts: group.version for group in groups}
    if wanted is None:
        fresh = [group.version for group in groups if not group.recipe.earlier]
        first = next(iter([*fresh, *versions.values()]), None)
        if first is None:
            return {}
        wanted = first.parts[0]
    whole = [one for one in versions.values() if one.name == wanted]
    places = {parts.index(wanted) for parts in versions if wanted in parts}
    if not whole and not places:
        names = {part for one in versions for part in one} | {one.name for one in versions.values()}
        raise RecipeError([Problem("baseline", unknown("version", wanted, names))], "study")
    found = {}
    for parts, one in versions.items():
        place = min(places, default=-1)
        same = (*parts[:place], wanted, *parts[place + 1 :]) if places else ()
        other = versions.get(same) or next(iter(whole), None)
        if other is not None and other != one:
            found[one.name] = other.name
    return found


def default_measures(metrics: Mapping[str, Any]) -> list[str]:
    """Return what is told of a run where nothing is named: tasks of all modalities, zero-shot, retrieval."""
    scores = sort(metrics)
    subsets = [score for score in scores.subsets if not score.source]
    fullest = [score for score in subsets if score.given == subsets[-1].given]
    kinds = (
        ("subsets", fullest, ("accuracy",)),
        ("zero_shot", scores.zero_shot, ("accuracy",)),
        ("retrieval", scores.retrieval, ("hit@1", "recall@1")),
    )
    found = []
    for section, group, preferred in kinds:
        for score in [score for score in group if not score.source][:SHOWN]:
            metric = leading([score], preferred)
            if metric is not None:
                found.append(_key(section, score, metric))
    return found or [key for key, value in metrics.items() if finite(value)][:1]


def _key(section: str, score: Score, metric: str) -> str:
    return "/".join(part for part in (section, score.about, score.task, metric) if part)


def spread(runs: Mapping[int, Mapping[str, Any]], key: str) -> Spread:
    """Return a metric of runs by their seed; of those that have it."""
    return Spread({seed: value for seed, found in runs.items() if finite(value := found.get(key))})


def _gain(one: Spread, other: Spread, key: str) -> Spread:
    sign = -1 if lower_is_better(key) else 1
    both = {
        seed: sign * (value - other.by_seed[seed])
        for seed, value in one.by_seed.items()
        if seed in other.by_seed
    }
    return Spread(both)
