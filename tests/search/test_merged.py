"""What was held and is kept, and what is new, are put together by modality, in the order of rows."""

import torch

from fusion.search.merged import Merged
from fusion.search.part import Part


def part(*rows: int, sign: int = 1) -> Part:
    """Vectors that tell their row."""
    numbers = torch.tensor(rows, dtype=torch.long)
    return Part(sign * numbers[:, None].float(), numbers, numbers + 100, {"codes": torch.ones(1)})


HELD = {"sight": part(0, 2, 5), "sound": part(2, 5), "text": part(5)}
NEW = {"sight": part(1, 2, sign=-1), "sound": part(), "text": part(), "smell": part(1, sign=-1)}
MERGED = Merged(HELD, NEW, torch.tensor([0, 4]))
"""Row 2 is encoded again, and 5 is gone; so no row has a sound or a text."""


def test_a_modality_has_the_kept_rows_and_the_new_ones() -> None:
    assert MERGED.modalities() == ["sight", "smell"]
    assert MERGED.rows("sight").tolist() == [0, 1, 2]
    sight = MERGED.part("sight")
    assert (sight.rows.tolist(), sight.targets.tolist(), sight.kept) == ([0, 1, 2], [100, 101, 102], {})
    assert sight.vectors.tolist() == [[0], [-1], [-2]]
    assert MERGED.part("smell").vectors.tolist() == [[-1]]


def test_some_rows_are_taken_of_both() -> None:
    some = MERGED.part("sight", torch.tensor([0, 2, 5]))
    assert (some.rows.tolist(), some.vectors.tolist()) == ([0, 2], [[0], [-2]])


def test_without_new_rows_what_was_held_is_not_copied() -> None:
    merged = Merged(HELD, {}, torch.tensor([0, 2, 5]))
    assert merged.modalities() == ["sight", "sound", "text"]
    assert merged.part("sight").vectors.data_ptr() == HELD["sight"].vectors.data_ptr()
