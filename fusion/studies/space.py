"""Where a search looks next: the tree-structured Parzen estimator over the axes of a recipe, by optuna."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fusion.errors import RunError
from fusion.recipe.axis import Axis, Range

if TYPE_CHECKING:
    from optuna import Study

Values = Mapping[str, Any]
"""Where a trial stands: a value for each path."""

ATTEMPTS = 50  # at a place that was not looked at yet
FEWEST = 4  # results from which it is told what mattered


class Result(NamedTuple):
    """Where a trial stood, and how good it was: more is better."""

    values: Values
    score: float


def propose(
    axes: Mapping[str, Axis], seed: int, results: Sequence[Result], seen: Sequence[Values]
) -> Values | None:
    """Return where to look next, or None where nothing new was found to look at.

    It depends on the seed, on the results so far and on what was seen, failed or not, in their order: a
    search that was ended goes on as if it had not been. The first ten places are random (Bergstra et al.
    2011).
    """
    for attempt in range(ATTEMPTS):
        draw = int(np.random.SeedSequence((seed, len(seen), attempt)).generate_state(1)[0])
        params = _study(axes, results, draw).ask(_distributions(axes)).params
        values = {path: _value(axes[path], found) for path, found in params.items()}
        if values not in seen:
            return values
    return None


def importance(axes: Mapping[str, Axis], results: Sequence[Result]) -> dict[str, float]:
    """Return the share of the variance of the score that each path explains alone, the largest first.

    By fANOVA (Hutter et al. 2014); what paths do together is in none. Empty for a single path, and where
    results are few or all equal.
    """
    if len(axes) < 2 or len(results) < FEWEST or len({result.score for result in results}) == 1:
        return {}
    optuna = library()
    fanova = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = fanova.evaluate(_study(axes, results, 0))
    return {path: float(share) for path, share in sorted(found.items(), key=lambda pair: -pair[1])}


def _study(axes: Mapping[str, Axis], results: Sequence[Result], seed: int) -> "Study":
    optuna = library()
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.add_trials(
        optuna.trial.create_trial(
            params={path: _param(axes[path], value) for path, value in values.items()},
            distributions=_distributions(axes),
            value=score,
        )
        for values, score in results
    )
    return study  # type: ignore[no-any-return]


def _distributions(axes: Mapping[str, Axis]) -> dict[str, Any]:
    kinds = library().distributions

    def kind(axis: Axis) -> Any:
        if not isinstance(axis, Range):
            return kinds.CategoricalDistribution([_text(value) for value in axis])
        made = kinds.IntDistribution if axis.whole else kinds.FloatDistribution
        return made(axis.low, axis.high, log=axis.log)

    return {path: kind(axis) for path, axis in axes.items()}


def _param(axis: Axis, value: Any) -> Any:
    return value if isinstance(axis, Range) else _text(value)


def _value(axis: Axis, param: Any) -> Any:
    return param if isinstance(axis, Range) else json.loads(param)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # a choice may be a list or a mapping


def library() -> Any:
    """Return optuna. Raises RunError, which names the extra, where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise RunError("a search needs optuna: pip install 'fusion-bind[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
