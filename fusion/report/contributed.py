"""Draw how much each modality adds to what is answered."""

from fusion.report.charts import Cell, heatmap
from fusion.report.figures import Chart
from fusion.report.files import Contributed, Evaluation
from fusion.report.numbers import count


def contributions(evaluation: Evaluation) -> list[Chart]:
    """Return one matrix a task, answer by modality, shaded by the largest mean; none where all are 0."""
    drawn = ((task, told, _largest(told)) for task, told in evaluation.contributions.items())
    return [_chart(task, told, evaluation.classes, largest) for task, told, largest in drawn if largest]


def _largest(told: Contributed) -> float:
    return max((mean for means in told.mean.values() for mean in means if mean), default=0.0)


def _chart(task: str, told: Contributed, classes: list[str], largest: float) -> Chart:
    names = list(told.mean)
    size = len(told.mean[names[0]])
    numbers = [str(n) for n in range(size)] if size > 1 else [task]
    answers = classes if told.classes and len(classes) == size else numbers
    cells = [
        [_cell(told.mean[name][n], told.rows[name][n], largest, f"{name} to {answer}") for name in names]
        for n, answer in enumerate(answers)
    ]
    drawing = heatmap(
        cells,
        rows=answers,
        columns=names,
        row_title="answer",
        column_title="modality",
        label=f"mean size of contributions to {task}, answer by modality",
        size=(92, 30),
    )
    told_of = "the probability of the class that is answered" if told.classes else "what is answered"
    note = (
        f"How much each modality adds to {told_of}, or takes from it: the mean size of its Shapley value, "
        "over the rows that have it."
    )
    return Chart(task, drawing, note)


def _cell(mean: float | None, rows: int, largest: float, about: str) -> Cell | None:
    if mean is None:
        return None
    return Cell(mean / largest, f"{mean:.2g}", f"{about}: {mean:.4g}, {count(rows)} rows")
