"""Write what several seeds gave: a mean and a deviation, a gain."""

from fusion.report.numbers import is_share, points, written
from fusion.report.tables import Mark, Marked
from fusion.studies.compare import Spread


def spread(metric: str, value: Spread | None) -> str:
    """Return mean and deviation, `82.1 ± 0.4 %`; of one seed the number alone, of none nothing."""
    if value is None or not value.by_seed:
        return ""
    if value.deviation is None:
        return written(metric, float(value.mean))
    if is_share(metric):
        return f"{100 * value.mean:.1f} ± {100 * value.deviation:.1f} %"
    return f"{written('', float(value.mean))} ± {written('', float(value.deviation))}"


def percent(value: Spread) -> str:
    """Return a ratio, `97.3 ± 0.4 %`; it may be above one, far above it without a number."""
    if not value.by_seed:
        return ""
    if value.mean > 2:
        return "over 200 %"
    reach = "" if value.deviation is None else f" ± {100 * value.deviation:.1f}"
    return f"{100 * value.mean:.1f}{reach} %"


def gain(metric: str, value: Spread | None) -> str:
    """Return a gain with its sign and deviation, of shares in percentage points; a loss is marked."""
    if value is None:
        return ""
    if is_share(metric):
        reach = "" if value.deviation is None else f" ± {100 * value.deviation:.1f}"
        text = f"{points(value.mean)}{reach} points"
    else:
        reach = "" if value.deviation is None else f" ± {value.deviation:.3g}"
        text = f"{value.mean:+.4g}{reach}".replace("-", "\N{MINUS SIGN}")
    return Marked(text, Mark.WORSE) if value.mean < 0 else text


def certainty(value: Spread | None) -> str:
    """Say whether a gain is told from zero by its deviation."""
    if value is None:
        return ""
    if value.deviation is None:
        return "one seed"
    return "within one deviation" if value.within else "beyond one deviation"
