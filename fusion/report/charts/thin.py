"""Keep a curve's shape with few points."""

from collections.abc import Sequence
from itertools import pairwise

Points = Sequence[tuple[float, float]]


def thin(points: Points, most: int = 500) -> list[tuple[float, float]]:
    """Return at most `most` points: of every stretch its lowest and its highest, in order."""
    if len(points) <= most:
        return list(points)
    kept: list[tuple[float, float]] = []
    for bucket in _buckets(points, most // 2):
        low = min(range(len(bucket)), key=lambda i: bucket[i][1])
        high = max(range(len(bucket)), key=lambda i: bucket[i][1])
        kept += [bucket[i] for i in sorted({low, high})]
    return kept


def trend(points: Points, parts: int = 60) -> list[tuple[float, float]]:
    """Return the mean of each of `parts` stretches of equal length."""
    return [
        (sum(x for x, _ in bucket) / len(bucket), sum(y for _, y in bucket) / len(bucket))
        for bucket in _buckets(points, parts)
    ]


def _buckets(points: Points, parts: int) -> list[Points]:
    parts = min(parts, len(points))
    edges = [len(points) * part // parts for part in range(parts + 1)]
    return [points[start:stop] for start, stop in pairwise(edges)]
