"""Choose and draw the charts of a report, each with one sentence on what it shows and of how many rows."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from fusion.report.charts import Bar, Cell, Curve, Point, bars, curves, heatmap, scatter
from fusion.report.charts.svg import COLOURS
from fusion.report.files import Evaluation
from fusion.report.numbers import count, is_share, share, written
from fusion.report.scores import Score, by_source, finite, leading, modalities

NUMBERED = 20  # classes up to which a confusion matrix has room for its counts


class Chart(NamedTuple):
    """A chart, its heading and the sentence below it."""

    caption: str
    drawing: Markup
    note: str


def retrieval(scores: Sequence[Score]) -> list[Chart]:
    """Return one matrix a source, modality by modality, of hit@1 or else recall@10."""
    charts = []
    for source, group in by_source(scores).items():
        metric = leading(group, ("hit@1", "recall@10"))
        found = {score.parts: score for score in group if finite(score.metrics.get(metric or ""))}
        if metric is None or not found:
            continue
        names = modalities(found.values())
        cells = [[_pair(found.get((query, gallery)), metric) for gallery in names] for query in names]
        note = f"{metric}: {_meaning(metric)}; {_of(found.values())}."
        if any(score.emergent for score in found.values()):
            note += " Framed pairs never met in training."
        drawing = heatmap(
            cells,
            rows=names,
            columns=names,
            row_title="query",
            column_title="gallery",
            label=f"{metric} of retrieval, query by gallery",
            size=(92, 58),
        )
        charts.append(Chart(_titled(metric, source), drawing, note))
    return charts


def subsets(scores: Sequence[Score]) -> list[Chart]:
    """Return one bar chart a source and task, of accuracy or else the task's first metric."""
    charts = []
    for source, group in by_source(scores).items():
        for task in dict.fromkeys(score.task for score in group):
            chosen = [score for score in group if score.task == task]
            metric = leading(chosen, ("accuracy",))
            shown = [score for score in chosen if finite(score.metrics.get(metric or ""))]
            if metric is not None and shown:
                charts.append(_bars(shown, metric, _titled(" ".join(filter(None, (task, metric))), source)))
    return charts


def confusion(evaluation: Evaluation) -> list[Chart]:
    """Return one matrix a subset, shaded by the share of the true class."""
    charts = []
    for subset, matrix in evaluation.confusion.items():
        size = max([len(matrix), *(len(line) for line in matrix)])
        total = sum(sum(line) for line in matrix)
        if not total:
            continue
        names = evaluation.classes if len(evaluation.classes) == size else [str(n) for n in range(size)]
        cells = [
            [
                _confused(value, sum(line), names[true], names[said], size <= NUMBERED)
                for said, value in enumerate(line)
            ]
            for true, line in enumerate(matrix)
        ]
        right = sum(line[index] for index, line in enumerate(matrix) if index < len(line))
        drawing = heatmap(
            cells,
            rows=names[: len(matrix)],
            columns=names,
            row_title="true class",
            column_title="predicted class",
            label=f"confusion matrix with {subset} given",
            size=(34, 30) if size <= NUMBERED else (18, 18),
        )
        note = f"Rows by true and predicted class; {count(right)} of {count(total)} on the diagonal."
        charts.append(Chart(f"{subset} given", drawing, note))
    return charts


def space(evaluation: Evaluation) -> list[Chart]:
    """Return the map of the shared space."""
    points = [
        Point(x, y, evaluation.named(label), modality)
        for modality, places in evaluation.map.items()
        for x, y, label in zip(places.x, places.y, places.label, strict=False)
        if finite(x) and finite(y) and x is not None and y is not None
    ]
    if not points:
        return []
    present = dict.fromkeys(point.group for point in points)
    groups = [
        *(name for name in evaluation.classes if name in present),
        *(g for g in present if g not in evaluation.classes),
    ]
    kinds = list(dict.fromkeys(point.kind for point in points))
    drawing = scatter(points, groups=groups, kinds=kinds, label="map of the shared space")
    sizes = ", ".join(f"{count(sum(p.kind == kind for p in points))} {kind}" for kind in kinds)
    note = (
        f"The shared space laid out in a plane ({sizes} rows): near points have near embeddings, "
        "colour is the class, shape the modality."
    )
    if len(groups) > COLOURS:
        note += f" Colours repeat after {COLOURS} classes."
    return [Chart("", drawing, note)]


def training(steps: Iterable[dict[str, Any]]) -> list[Chart]:
    """Return one chart a family of values: the loss and its parts, the learning rates, the others."""
    last = {step["step"]: step for step in steps if finite(step.get("step"))}  # a resumed run repeats steps
    lines: dict[str, list[tuple[float, float]]] = {}
    lost = 0
    for number in sorted(last):
        for key, value in last[number].items():
            if key != "step" and finite(value):
                lines.setdefault(key, []).append((number, value))
            lost += isinstance(value, float) and not finite(value)
    families: dict[str, list[Curve]] = {}
    for key in sorted(lines, key=lambda key: key.count("/")):  # the total before its parts
        families.setdefault(key.split("/")[0], []).append(Curve(key, lines[key]))
    note = f"By training step, {count(len(last))} steps; where they are noisy, the thick line is their mean"
    note += f"; left out as not finite: {count(lost)}." if lost else "."
    order = sorted(families, key=lambda family: ("loss", "lr", family).index(family))
    return [
        Chart(
            _FAMILIES.get(family, family),
            curves(families[family], label=f"{family} by training step", decades=family == "loss"),
            note,
        )
        for family in order
    ]


_FAMILIES = {"loss": "Loss and its parts", "lr": "Learning rate", "grad_norm": "Norm of the gradient"}


def _pair(score: Score | None, metric: str) -> Cell | None:
    if score is None:
        return None
    value = score.metrics[metric]
    number = written(metric, value)
    title = f"{score.about.replace('->', ' → ')}: {metric} {number}, {_of([score])}"
    return Cell(min(max(value, 0.0), 1.0), number, title, "emergent" if score.emergent else "")


def _bars(scores: Sequence[Score], metric: str, caption: str) -> Chart:
    rows = [
        Bar(
            score.about,
            score.metrics[metric],
            score.averaged.get(metric) if finite(score.averaged.get(metric)) else None,
            f"{score.about}: {metric} {written(metric, score.metrics[metric])}, {_of([score])}",
        )
        for score in scores
    ]
    shares = is_share(metric) and all(0 <= bar.value <= 1 for bar in rows)
    drawing = bars(
        rows,
        label=f"{metric} by the modalities given",
        write=(lambda value: share(value)) if shares else (lambda value: written("", float(value))),
        names=("fused", "single modalities averaged"),
        full=1.0 if shares else None,
    )
    return Chart(caption, drawing, f"With only these modalities given: {metric}; {_of(scores)}.")


def _confused(value: int, total: int, true: str, said: str, numbered: bool) -> Cell:
    part = value / total if total else 0.0
    return Cell(
        part,
        str(value) if value and numbered else "",
        f"{true} taken for {said}: {value} of {total} ({share(part)})",
    )


def _of(scores: Iterable[Score]) -> str:
    """Return the denominator: rows of each score, as one number or a range."""
    rows = sorted({score.rows for score in scores if score.rows is not None})
    if not rows:
        return "number of rows not recorded"
    return f"{count(rows[0])} rows each" if len(rows) == 1 else f"{count(rows[0])} to {count(rows[-1])} rows"


def _titled(caption: str, source: str) -> str:
    return f"{caption}, source {source}" if source else caption


def _meaning(metric: str) -> str:
    name, _, k = metric.partition("@")
    match name, k:
        case "hit", "1":
            return "share of queries whose first result has their class"
        case "recall", k if k:
            return f"share of queries whose own row is among the first {k} results"
        case _:
            return "by query and gallery"
