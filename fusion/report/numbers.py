"""Write numbers the way people read them: shares as per cent, counts with separators, times in words."""

import math
import re
from typing import Any

SHARE = re.compile(r"(balanced_)?accuracy|precision|recall|f1|auroc|(hit|recall|accuracy)@\d+")
LOWER = re.compile(
    r"mae|rmse|mse|.*(loss|error|seconds|memory_mb|bad_rows)|nll|ece|ece_adaptive|brier|aurc|entropy"
)
NOTHING = "–"  # noqa: RUF001 (the dash that stands for an empty cell)


def is_share(metric: str) -> bool:
    """Whether the last part of this metric's name means a share between 0 and 1."""
    return SHARE.fullmatch(metric.rsplit("/", 1)[-1]) is not None


def lower_is_better(metric: str) -> bool:
    """Whether less of this metric is better: of errors, time and memory."""
    return LOWER.fullmatch(metric.rsplit("/", 1)[-1]) is not None


def written(metric: str, value: Any) -> str:
    """Return the value of this metric as text: 0.974 of `hit@1` is `97.4 %`, 0.974 of `mrr` is `0.974`."""
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case int() | float() if is_share(metric) and 0 <= value <= 1:
            return share(value)
        case int():
            return count(value)
        case float():
            return plain(value)
        case _:
            return str(value)


def share(value: float) -> str:
    return f"{100 * value:.1f} %"


def points(value: float) -> str:
    """Return the difference between two shares, in percentage points and with its sign."""
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def count(value: int) -> str:
    return f"{value:,}"


def plain(value: float) -> str:
    """Return four significant digits."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def brief(value: float) -> str:
    """Return a short label for an axis: 20000 is `20k`, 0.0001 is `1e-4`."""
    if value == 0:
        return "0"
    if abs(value) >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    if abs(value) < 0.001:
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.6g}"


def seconds(value: float) -> str:
    if round(value) < 60:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
