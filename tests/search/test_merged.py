"""Of each row an index holds what was written last, by modality, in the order of rows."""

import pytest
import torch

from fusion.search.merged import Merged, Segment, lasting
from fusion.search.part import Part
from fusion.search.rows import Rows


def part(*rows: int, sign: int = 1) -> Part:
    """Vectors that tell their row."""
    numbers = torch.tensor(rows, dtype=torch.long)
    return Part(sign * numbers[:, None].float(), numbers, numbers + 100)


FIRST = {"sight": part(0, 2, 5), "sound": part(2, 5), "text": part(5), "fused": part(0, 2, 5)}
SECOND = {"sight": part(1, 2, sign=-1), "smell": part(1, sign=-1), "fused": part(1, 2, sign=-1)}
MERGED = Merged(
    [Segment(Rows.read("0"), FIRST), Segment(Rows.read("1-2"), SECOND)],
    ["smell", "sight", "sound", "text", "fused", "touch"],
)
"""Row 2 was encoded again, without a sound, and 5 is gone; so no row has a sound or a text."""


def test_a_modality_has_of_each_row_what_was_written_last() -> None:
    assert list(MERGED) == ["smell", "sight", "fused"]
    assert MERGED.rows("sight").tolist() == [0, 1, 2]
    sight = MERGED["sight"]
    assert (sight.rows.tolist(), sight.targets.tolist()) == ([0, 1, 2], [100, 101, 102])
    assert sight.vectors.tolist() == [[0], [-1], [-2]]
    assert MERGED["smell"].vectors.tolist() == [[-1]]
    for name in ("sound", "touch"):
        with pytest.raises(KeyError, match=name):
            MERGED[name]


def test_what_was_put_together_is_kept_where_it_is_asked_for_by_name() -> None:
    assert MERGED["sight"] is MERGED["sight"]
    assert MERGED.part("sight") is not MERGED.part("sight")


def test_some_rows_are_taken_of_all_segments() -> None:
    some = MERGED.part("sight", torch.tensor([0, 2, 5]))
    assert (some.rows.tolist(), some.vectors.tolist()) == ([0, 2], [[0], [-2]])


def segment(rows: str, *, written: int) -> Segment:
    return Segment(Rows.read(rows), {"fused": part(*range(written))})


@pytest.mark.parametrize(
    ("rows", "written", "added", "stay"),
    [
        ([], [], 5, 0),
        (["0-9"], [10], 0, 1),
        (["0-9"], [10], 9, 1),
        (["0-9"], [10], 10, 0),
        (["0-5"], [10], 0, 1),  # more than half of it is of the index
        (["0-4"], [10], 0, 0),
        ([""], [10], 0, 0),
        (["0-9", "0-3"], [10, 4], 3, 2),
        (["0-9", "0-3"], [10, 4], 4, 1),
        (["0-9", "0-3"], [10, 4], 6, 0),  # 4 and 6 are as many as 10
        (["0-9", "0-3", "0-1"], [10, 8, 2], 0, 1),  # so what is behind is written with it
    ],
)
def test_a_segment_lasts_while_it_is_half_used_and_longer_than_all_behind(
    rows: list[str], written: list[int], added: int, stay: int
) -> None:
    segments = [segment(some, written=count) for some, count in zip(rows, written, strict=True)]
    assert lasting(segments, added) == stay


def test_segments_are_few_and_a_row_is_written_seldom() -> None:
    """One row at a time, 1,024 times: there are 10 segments at most, and a row is written 6 times."""
    lengths: list[int] = []
    most = total = 0
    for _ in range(1024):
        segments = [segment(f"0-{length - 1}", written=length) for length in lengths]
        stay = lasting(segments, 1)
        new = 1 + sum(lengths[stay:])
        lengths = [*lengths[:stay], new]
        total, most = total + new, max(most, len(lengths))
    assert lengths == [1024]
    assert (most, total) == (10, 6 * 1024)
