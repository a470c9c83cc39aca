"""Draw a comparison: means with their deviation, gains, curves over amounts, the transfer matrix."""

from collections.abc import Callable

from fusion.report.charts import Band, Cell, Dot, Place, bands, dots, heatmap
from fusion.report.figures import Chart
from fusion.report.numbers import brief, is_share
from fusion.studies import matrix, words
from fusion.studies.amounts import lines
from fusion.studies.compare import Comparison, Spread


def values(found: Comparison) -> list[Chart]:
    """Return the deciding measure of every version, each seed and their mean."""
    measure = found.deciding
    losing = {name for name, gain in found.gains.items() if measure in gain and gain[measure].mean < 0}
    rows = [
        _dot(name, value, words.spread(measure, value), name in losing)
        for name in found.compared
        if (value := found.values[name].get(measure)) is not None
    ]
    note = "Filled: the mean, with one deviation to either side. Open: single seeds."
    note += " Red: below the baseline." if losing else ""
    return [Chart(measure, dots(rows, label=f"{measure} of every version", write=ticks(measure)), note)]


def gains(found: Comparison) -> list[Chart]:
    """Return the gain of every version over its baseline."""
    measure = found.deciding
    rows = [
        _dot(name, value, words.gain(measure, value), value.mean < 0)
        for name, of in found.gains.items()
        if (value := of.get(measure)) is not None
    ]
    if not rows:
        return []
    over = sorted({other for name, other in found.baselines.items() if measure in found.gains[name]})
    what = over[0] if len(over) == 1 else "the baseline at the same point"
    note = f"Seed by seed, over {what}; red: worse. A bar that reaches the line at zero tells no difference."
    write = _signed if is_share(measure) else brief
    drawing = dots(rows, label=f"gain of {measure} over the baseline", write=write, zero=True)
    return [Chart(f"Gain of {measure}", drawing, note)]


def over_amounts(found: Comparison, path: str | None) -> list[Chart]:
    """Return the deciding measure over the amounts, a line a version."""
    curves = lines(found)
    if path is None or not any(len(curve) > 1 for curve in curves.values()):
        return []
    measure = found.deciding
    series = [
        Band(
            line or measure,
            [
                Place(x, of.mean, of.deviation or 0.0, f"{line} at {x:,g}: {words.spread(measure, of)}")
                for x, of in curve
            ],
        )
        for line, curve in curves.items()
    ]
    drawing = bands(series, label=f"{measure} over {path}", axis_name=path, write=ticks(measure))
    return [Chart(f"{measure} over {path}", drawing, "The mean, in a band of one standard deviation.")]


def transfer(found: Comparison) -> list[Chart]:
    """Return the transfer matrix, shaded by the measure."""
    cells = matrix.matrix(found)
    if not cells:
        return []
    measure, sources = matrix.plain(found.deciding), matrix.columns(cells)
    means = [value.mean for row in cells.values() for value in row.values()]
    low, high = (0.0, 1.0) if is_share(measure) else (min(means), max(means))
    drawn = [
        [
            None
            if (value := row.get(source)) is None
            else Cell(
                min(max((value.mean - low) / ((high - low) or 1.0), 0.0), 1.0),
                words.spread(measure, value),
                f"{name} on {source}: {words.spread(measure, value)}",
            )
            for source in sources
        ]
        for name, row in cells.items()
    ]
    drawing = heatmap(
        drawn,
        rows=list(cells),
        columns=sources,
        row_title="trained as",
        column_title="measured on",
        label=f"{measure}, trained by measured on",
        size=(116, 46),
    )
    return [Chart(measure, drawing, "Darker is more; mean ± deviation over the seeds.")]


def ticks(measure: str) -> Callable[[float], str]:
    """Return how the numbers of an axis of this measure are written."""
    return (lambda value: f"{100 * value:g} %") if is_share(measure) else brief


def _dot(name: str, value: Spread, written: str, worse: bool) -> Dot:
    return Dot(name, value.mean, value.deviation, list(value.by_seed.values()), written, worse)


def _signed(value: float) -> str:
    return f"{100 * value:+g}".replace("-", "\N{MINUS SIGN}").replace("+0", "0")
