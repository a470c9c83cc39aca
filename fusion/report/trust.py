"""What a report tells of probabilities: how far they can be trusted, and whether they know foreign rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from fusion.report.charts import Curve, lines
from fusion.report.figures import Chart
from fusion.report.files import Evaluation, Looks, Trust
from fusion.report.numbers import NOTHING, count, share, written
from fusion.report.scores import Score
from fusion.report.tables import TRUST, Table

AFTER = ("temperature", "ece", "nll")
BINS = 15
FEW = 5  # rows of a bin; of fewer the accuracy is chance
WAYS = ("energy", "distance", "confidence")


def tables(scores: Sequence[Score], rest: Mapping[str, Any]) -> list[Table]:
    """Return a table of the subsets that were measured so, and one of foreign sources."""
    return [*_calibration(scores), *_foreign(rest)]


def charts(evaluation: Evaluation) -> list[Chart]:
    """Return reliability, risk by coverage, and how foreign rows look beside those that were measured."""
    chosen = {key: kinds for key, kinds in evaluation.calibration.items() if _drawn(key, evaluation)}
    tasks = dict.fromkeys(answered.partition("/")[2] for answered in chosen)
    return [
        *(chart for answered, kinds in chosen.items() for chart in _reliability(answered, kinds)),
        *(chart for task in tasks for chart in _risk(task, chosen)),
        *(_looks(way, looks) for way, looks in evaluation.foreign.items() if _whole(way, evaluation)),
    ]


def _reliability(answered: str, kinds: Mapping[str, Trust]) -> list[Chart]:
    subset, _, task = answered.partition("/")
    curves = [
        Curve(kind or "as trained", [(sure, right) for rows, sure, right in trust.bins if rows >= FEW])
        for kind, trust in kinds.items()
    ]
    curves = [curve for curve in curves if curve.points]
    if not curves:
        return []
    rows = round(sum(count for count, _, _ in kinds[""].bins))
    drawing = lines(curves, x="confidence", y="accuracy", label=f"reliability of {answered}", diagonal=True)
    note = (
        f"{count(rows)} rows in {BINS} bins of confidence, those of {FEW} rows and more; on the thin line "
        "they are right as often as they say."
    )
    return [Chart(f"{task}: reliability, {subset} given", drawing, note)]


def _risk(task: str, chosen: Mapping[str, Mapping[str, Trust]]) -> list[Chart]:
    curves = [
        Curve(answered.partition("/")[0], kinds[""].risk)
        for answered, kinds in chosen.items()
        if answered.partition("/")[2] == task
    ]
    drawing = lines(curves, x="coverage", y="risk", label=f"risk by coverage of {task}")
    note = "The share of wrong rows among the surest ones, when only that share of all is answered."
    return [Chart(f"{task}: risk by coverage", drawing, note)]


def _looks(way: str, looks: Looks) -> Chart:
    subset, *task, look = way.split("/")
    curves = [
        Curve(
            name or "measured",
            [
                (looks.low + (n + 0.5) * (looks.high - looks.low) / len(bars), bar)
                for n, bar in enumerate(bars)
            ],
        )
        for name, bars in looks.shares.items()
    ]
    named = " ".join([*task, look])
    return Chart(
        f"{named}, {subset} given",
        lines(curves, x=look, y="share of rows", label=f"{named} of foreign rows"),
        f"How many rows have which {look}; what is foreign should lie on the right.",
    )


def _drawn(answered: str, evaluation: Evaluation) -> bool:
    """Whether it is of one modality, or of all."""
    return "+" not in answered or _whole(answered, evaluation)


def _whole(answered: str, evaluation: Evaluation) -> bool:
    return answered.partition("/")[0].split("+") == evaluation.modalities


def _calibration(scores: Sequence[Score]) -> list[Table]:
    shown = [score for score in scores if "ece" in score.metrics]
    sourced, tasked = any(score.source for score in shown), any(score.task for score in shown)
    after = [name for name in AFTER if any(name in score.calibrated for score in shown)]
    rows = [
        [
            *([score.source or "all"] if sourced else []),
            *([score.task] if tasked else []),
            score.about,
            written("rows", score.rows),
            *(written(name, score.metrics.get(name)) for name in TRUST),
            *(written(name, score.calibrated.get(name)) for name in after),
        ]
        for score in shown
    ]
    head = [*(["source"] if sourced else []), *(["task"] if tasked else []), "given"]
    warm = ["temperature" if name == "temperature" else f"{name} at it" for name in after]
    note = (
        "How far probabilities are from how often they are right (ece), what errors cost (brier, nll), and "
        "the risk over all coverages (aurc); less is better."
    )
    return [Table("Calibration", [*head, "rows", *TRUST, *warm], rows, note, len(head))] if rows else []


def _foreign(rest: Mapping[str, Any]) -> list[Table]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for key, value in rest.items():
        match key.split("/"):
            case ["foreign", name, *about, way]:
                found.setdefault((name, " ".join(about)), {})[way] = value
    rows = [
        [name, about, *(NOTHING if way not in told else share(told[way]) for way in WAYS)]
        for (name, about), told in found.items()
        if told.keys() - {"rows"}
    ]
    note = "How often a foreign row looks more foreign than one that was measured (AUROC): 50 % is chance."
    return [Table("Foreign rows", ["foreign", "given", *WAYS], rows, note, 2)] if rows else []
