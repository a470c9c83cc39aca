"""Attacks, as a stress: each modality that can be attacked, and all of them together, at several radii."""

from collections.abc import Sequence
from typing import Any

from fusion.batch import Batch
from fusion.build import build_attack
from fusion.errors import RunError, unknown
from fusion.evaluation.crew import Crew
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.report.stress import Point, Record, Versus
from fusion.stress.flags import Flags
from fusion.stress.stress import Stress, Trial, Wanted
from fusion.threat.attacker import Attacker, evaluating
from fusion.threat.harm import Goal
from fusion.threat.surface import attackable

APART = "apart"
"""The kind of an attack that pushes the pairs of a row apart, for retrieval."""
RADII = {"linf": (0.01, 0.03, 0.1), "l2": (0.3, 1.0, 3.0)}


class Attacks(Stress):
    """Moves samples by a radius in the norm of `evaluate.attack`, so that the model goes wrong.

    A kind says what the attack is after: "image+audio", that tasks answer wrongly when they are given these
    modalities, or "apart", that what is attacked is far from the rest of its row. By default tasks are given
    what is attacked alone, all that can be attacked, or everything.
    """

    axis = "radius"

    def __init__(
        self, recipe: Recipe, registry: Registry, *, kinds: Sequence[str], severities: Sequence[float]
    ) -> None:
        self.pick, self.seed = recipe.evaluate.attack, recipe.train.seed
        self.attack = build_attack(self.pick, "evaluate.attack", registry)
        self.recipe, self.kinds = recipe, kinds
        self.radii = severities or RADII[self.pick.norm]
        self.flags: dict[str, Flags] = {}
        for radius in severities:
            if radius < 0:
                raise RunError(f"severity {radius:g}: a radius is not below 0")

    def meet(self, model: Model) -> None:
        """Find out what can be attacked. Raises RunError where there is nothing, or a kind is none."""
        able = attackable(model.processors)
        self.spared = [name for name in model.modalities if name not in able]
        if not able:
            raise RunError(
                f"none of {', '.join(model.modalities)} can be attacked: no processor names an input that "
                "holds raw samples (Processor.signals)"
            )
        damaged = list(dict.fromkeys([*able, "+".join(able)]))
        offered = {one: self._offered(model, one, able) for one in damaged}
        known = list(dict.fromkeys(kind for some in offered.values() for kind in some))
        for kind in self.kinds:
            if kind not in known:
                raise RunError(unknown("attack of this run", kind, known))
        self.trials = [
            Trial(one, kind, radius)
            for one in damaged
            for kind in offered[one]
            if kind in (self.kinds or self._usual(model, one, able))
            for radius in self.radii
        ]
        if not self.trials:
            raise RunError(
                "there is nothing to attack: no task that answers, and no evaluate.retrieval with a modality "
                f"that can be attacked ({', '.join(able)})"
            )
        self.flags = {one: Flags() for one in damaged}

    def wanted(self, trial: Trial) -> Wanted:
        """Return what an attack is after; what is attacked alone, too, where no trial is after that."""
        if trial.kind == APART:
            return Wanted(subsets=())
        kinds = {one.kind for one in self.trials if one.damaged == trial.damaged}
        alone = [] if trial.damaged in kinds else [trial.modalities]
        return Wanted([tuple(trial.kind.split("+")), *alone], vectors=False)

    def spoil(self, model: Model, batch: Batch, trial: Trial) -> Batch:
        given = trial.kind.split("+")
        shown = {name: here & (name in given) for name, here in batch.present.items()}
        goal = self._goal(model, trial)
        radius = dict.fromkeys(trial.modalities, trial.severity)
        attacker = Attacker(model, self.attack, goal, radius, self.pick.norm, self.seed)
        asked = batch._replace(shown=batch.shown if trial.kind == APART else shown)
        if trial == self._flagged(trial.damaged):
            with evaluating(model):
                self.flags[trial.damaged].look(attacker.scene(asked))
        return attacker(asked)._replace(shown=batch.shown)

    def tell(self, crew: Crew) -> dict[str, Any]:
        """Return how was attacked, what cannot be, and the flags; all ranks call it."""
        return {
            "attack": self.pick.model_dump(mode="json"),
            "spared": self.spared,
            "flags": {one: flags.gathered(crew) for one, flags in self.flags.items()},
        }

    def settle(self, record: Record) -> Record:
        """Return the record with one point for each radius: a number is that under the attack after it."""
        groups: dict[tuple[str, float], list[Point]] = {}
        for point in record.points:
            groups.setdefault((point.damaged, point.severity), []).append(point)
        points = [aimed(self.pick.name, trials) for trials in groups.values()]
        asked = {point.kind for point in record.points}
        versus = {
            one: {subset: clean for subset, clean in some.items() if subset in asked}
            for one, some in record.versus.items()
        }
        return record.model_copy(update={"points": points, "versus": versus})

    def _offered(self, model: Model, damaged: str, able: Sequence[str]) -> list[str]:
        """Return the kinds for what is damaged: the subsets that hold it, and parting where it has a pair."""
        some = set(damaged.split("+"))
        subsets = [*self._usual(model, damaged, able), *map("+".join, self.recipe.subsets())]
        holding = [one for one in dict.fromkeys(subsets) if one != APART and some <= set(one.split("+"))]
        pairs = [pair for pair in self.recipe.retrieval_pairs() if set(pair) & some]
        return (holding if model.tasks else []) + ([APART] if pairs else [])

    def _usual(self, model: Model, damaged: str, able: Sequence[str]) -> list[str]:
        return [damaged, "+".join(able), "+".join(model.modalities), APART]

    def _goal(self, model: Model, trial: Trial) -> Goal:
        if trial.kind != APART:
            return Goal(dict.fromkeys(model.tasks, 1.0), (), self.pick.loss)
        pairs = {(min(pair), max(pair)) for pair in self.recipe.retrieval_pairs()}
        return Goal(
            {}, [(one, other) for one, other in sorted(pairs) if {one, other} & set(trial.modalities)]
        )

    def _flagged(self, damaged: str) -> Trial | None:
        """Return the trial in which flags are looked for: the first kind, at the middle radius."""
        trials = [trial for trial in self.trials if trial.damaged == damaged]
        first = [trial for trial in trials if trial.kind == trials[0].kind and trial.severity > 0]
        return first[len(first) // 2] if first else None


def aimed(attack: str, trials: Sequence[Point]) -> Point:
    """Return the point of one radius: of the trial after a number, what that number was."""
    by_kind = {trial.kind: trial for trial in trials}
    damaged, radius = trials[0].damaged, trials[0].severity
    metrics: dict[str, float] = {}
    versus: dict[str, Versus] = {}
    for kind, trial in by_kind.items():
        own = ("retrieval/", "zero_shot/") if kind == APART else (f"subsets/{kind}/",)
        metrics |= {key: value for key, value in trial.metrics.items() if key.startswith(own)}
        if kind in trial.versus:
            alone = by_kind.get(damaged, trial).versus[kind].alone
            versus[kind] = trial.versus[kind].model_copy(update={"alone": alone})
    return Point(damaged=damaged, kind=attack, severity=radius, metrics=metrics, versus=versus)
