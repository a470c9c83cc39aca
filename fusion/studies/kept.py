"""What versions have left of the runs that they started from, measured once and told in tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fusion.errors import FusionError
from fusion.registry import Registry
from fusion.report.tables import Table
from fusion.studies import words
from fusion.studies.compare import Comparison, Group, Spread, default_measures, spread
from fusion.studies.matrix import plain
from fusion.studies.tables import origins
from fusion.training.launch import launch
from fusion.transfer.retention import Retention, retention


class Change(NamedTuple):
    """A metric by seed before and after a training, and what is left of it as a share."""

    key: str
    before: Spread
    after: Spread
    left: Spread


def with_kept(groups: Sequence[Group], registry: Registry) -> tuple[list[Group], list[str]]:
    """Return the groups with what was kept, and why it is not known of some. All ranks call it."""
    measured, reasons = [], []
    for group in groups:
        kept: dict[int, Retention] = {}
        for seed, run in group.runs.items():
            try:
                accelerator = launch(run.recipe.train.model_copy(update={"precision": "fp32"}))
                found = retention(run, registry, accelerator)
            except FusionError as error:
                reasons.append(f"What {run.folder.name} has kept is not known: {error}")
                continue
            if found is not None:
                kept[seed] = found
            elif "init" in run.manifest and Path(run.manifest["init"]["init"]).suffix != ".safetensors":
                start = run.manifest["init"]["init"]
                why = "is another now" if Path(start).expanduser().is_dir() else "is not there any more"
                reasons.append(f"What {run.folder.name} has kept is not known: {start} {why}.")
        measured.append(group._replace(kept=kept))
    return measured, reasons


def kept(group: Group, wanted: str) -> list[Change]:
    """Return what became of the earlier run's measure: the wanted one, or the first that it has.

    Where it was measured on several sources, each is told: the earlier run may have known only one of them.
    """
    if not group.kept:
        return []
    first = next(iter(group.kept.values())).earlier
    key = wanted if wanted in first else next(iter(default_measures(first)), "")
    apart = [other for other in first if other.startswith("source/") and plain(other) == plain(key)]
    before, after = ({seed: one[side] for seed, one in group.kept.items()} for side in (0, 1))
    changes = [_change(key, spread(before, key), spread(after, key)) for key in apart or [key]]
    return [change for change in changes if change is not None]


def zero_shot(group: Group) -> list[Change]:
    """Return zero-shot accuracies at step 0 and at the end."""
    keys = dict.fromkeys(key for one in group.kept.values() for key in one.before)
    ends: dict[int, Mapping[str, Any]] = {seed: group.runs[seed].metrics for seed in group.kept}
    changes = [
        _change(key, spread({seed: one.before for seed, one in group.kept.items()}, key), spread(ends, key))
        for key in keys
        if key.startswith("zero_shot/") and key.endswith("/accuracy")
    ]
    return [change for change in changes if change is not None]


def tables(found: Comparison) -> list[Table]:
    """Return one table of what was kept and one of zero-shot before and after."""
    remaining, shot = [], []
    for name, group in found.compared.items():
        for change in kept(group, found.deciding):
            ends = [words.spread(change.key, change.before), words.spread(change.key, change.after)]
            remaining.append([name, origins(group)[0], change.key, *ends, words.percent(change.left)])
        for change in zero_shot(group):
            ends = [words.spread(change.key, change.before), words.spread(change.key, change.after)]
            moved = {
                seed: value - change.before.by_seed[seed] for seed, value in change.after.by_seed.items()
            }
            shot.append([name, change.key, *ends, words.gain(change.key, Spread(moved))])
    told = []
    if remaining:
        note = (
            "The earlier model's own evaluation, with its own heads: before, and with what was learned since "
            "in encoders, projections and fuser. Kept: after as a share of before, seed by seed."
        )
        columns = ["version", "starts from", "measure of that run", "before", "after", "kept"]
        told.append(Table("What the source task kept", columns, remaining, note, 3))
    if shot:
        note = "At step 0, with the earlier run's weights, and at the end of the training."
        columns = ["version", "measure", "before", "after", "change"]
        told.append(Table("Zero-shot before and after", columns, shot, note, 2))
    return told


def _change(key: str, before: Spread, after: Spread) -> Change | None:
    both = before.by_seed.keys() & after.by_seed.keys()
    if not both:
        return None
    left = {seed: after.by_seed[seed] / before.by_seed[seed] for seed in sorted(both) if before.by_seed[seed]}
    one, other = ({seed: of.by_seed[seed] for seed in sorted(both)} for of in (before, after))
    return Change(key, Spread(one), Spread(other), Spread(left))
