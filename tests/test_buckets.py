"""Buckets of similar length: the cheapest cut, and the way back."""

from collections.abc import Sequence
from itertools import combinations

import pytest
import torch

from fusion import Encoding
from fusion.buckets import overhead, pack, plan, restore, unpack


def cost(lengths: Sequence[int], buckets: Sequence[Sequence[int]], overhead: int) -> int:
    return sum(len(bucket) * max(lengths[row] for row in bucket) + overhead for bucket in buckets)


def cheapest(lengths: Sequence[int], overhead: int) -> int:
    """The least cost over all ways to cut the sorted lengths into buckets."""
    rows = sorted(range(len(lengths)), key=lengths.__getitem__)
    cuts = [cut for size in range(len(rows)) for cut in combinations(range(1, len(rows)), size)]
    ways = [[rows[a:b] for a, b in zip((0, *cut), (*cut, len(rows)), strict=True)] for cut in cuts]
    return min(cost(lengths, way, overhead) for way in ways)


def test_lengths_are_cut_where_padding_costs_more_than_a_bucket() -> None:
    # together 5 * 20 + 10 = 110; cut in two 2 * 4 + 3 * 20 + 2 * 10 = 88; the 19 by itself saves 1, costs 10
    assert plan([20, 4, 3, 20, 19], overhead=10) == [[1, 2], [0, 3, 4]]
    assert plan([20, 4, 3, 20, 19], overhead=40) == [[0, 1, 2, 3, 4]]  # 140 against 8 + 60 + 80
    assert plan([20, 4, 3, 20, 19], overhead=0) == [[2], [1], [4], [0, 3]]
    assert plan([7, 7, 7], overhead=0) == [[0, 1, 2]]
    assert plan([5], overhead=64) == [[0]]


@pytest.mark.parametrize("extra", [0, 1, 5, 30, 1000])
def test_no_other_way_to_cut_is_cheaper(extra: int) -> None:
    draw = torch.Generator().manual_seed(extra)
    for _ in range(20):
        lengths = torch.randint(1, 40, (8,), generator=draw).tolist()
        buckets = plan(lengths, extra)
        assert sorted(row for bucket in buckets for row in bucket) == list(range(8))
        assert cost(lengths, buckets, extra) == cheapest(lengths, extra)


def test_a_bucket_costs_a_device_that_launches_kernels_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert overhead() == 64
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    assert overhead() == 4096


def test_order_comes_first_and_undoes_the_buckets() -> None:
    buckets = [[2, 0], [1]]
    named = pack(buckets, [{"x_y": torch.tensor([30, 10])}, {"x_y": torch.tensor([20])}])
    assert list(named) == ["order", "x_y_0", "x_y_1"]
    assert len(named["order"]) == 3
    order = named.pop("order")
    parts = [bucket["x_y"] for bucket in unpack(named)]
    assert torch.cat(parts)[order].tolist() == [10, 20, 30]


def test_tokens_of_all_buckets_are_padded_to_the_longest_row() -> None:
    short = Encoding(torch.ones(1, 2), torch.ones(1, 1, 2), torch.tensor([[True]]))
    long = Encoding(torch.zeros(1, 2), torch.full((1, 3, 2), 5.0), torch.tensor([[True, True, False]]))
    pooled, tokens, mask = restore(torch.tensor([1, 0]), [short, long])
    assert pooled.tolist() == [[0, 0], [1, 1]]
    assert tokens is not None
    assert mask is not None
    assert tokens[1].tolist() == [[1, 1], [0, 0], [0, 0]]
    assert mask.tolist() == [[True, True, False], [True, False, False]]
