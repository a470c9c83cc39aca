"""Every rank has its part of the work, within the losses of a step and nowhere else."""

import pytest
import torch

from fusion.division import ALONE, Division, divided, division
from fusion.objectives.tiles import tiles


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [0, 1, 4, 7])
def test_every_row_is_some_ranks(ranks: int, rows: int) -> None:
    parts = [Division(rank, ranks).part(rows) for rank in range(ranks)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_work_is_divided_within_a_block_only_also_after_an_error() -> None:
    def fail() -> None:
        with divided(Division(1, 2)):
            with divided(Division(3, 4)):
                assert division() == (3, 4)
            assert division() == (1, 2)
            raise RuntimeError("in a loss")

    assert division() == ALONE == Division(0, 1)
    with pytest.raises(RuntimeError, match="in a loss"):
        fail()
    assert division() == ALONE


def test_one_rank_has_its_own_sum_and_stack() -> None:
    part = torch.tensor([1.0, 2.0])
    ALONE.add_up(part)
    assert part.tolist() == [1.0, 2.0]
    assert ALONE.stack(part).tolist() == [[1.0, 2.0]]


def test_every_two_rows_are_in_one_tile_of_one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusion.objectives.tiles.EDGE", 4)
    met = torch.zeros(23, 23, dtype=torch.long)
    for rank in range(3):
        with divided(Division(rank, 3)):
            mine = tiles(torch.empty(23, 0))
        assert len(mine) == 2 * 6
        for i, j in mine:
            met[i, j] += 1
    assert torch.equal(met, torch.ones_like(met))
