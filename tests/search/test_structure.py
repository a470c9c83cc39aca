"""What is found of the nearest: all by comparing with all, a known share of them by the other kinds."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fusion import RunError
from fusion.gallery import Found
from fusion.search.index import KINDS
from fusion.search.structure import Exact, Int8, Structure, calibrate, recall


def space(rows: int, width: int = 24, seed: int = 0) -> Tensor:
    """Return unit vectors, of which some lie close together."""
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(20, width, generator=torch.Generator().manual_seed(0))[torch.arange(rows) % 20]
    return F.normalize(centres + 0.5 * torch.randn(rows, width, generator=random), dim=1)


def made(kind: str, vectors: Tensor) -> Structure:
    return KINDS[kind](vectors, KINDS[kind].build(vectors))


def test_there_are_four_kinds() -> None:
    assert list(KINDS) == ["exact", "int8", "ivf", "hnsw"]


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_most_effort_all_kinds_find_the_nearest(kind: str) -> None:
    vectors, queries = space(800), space(30, seed=1)
    scores, items = (queries.double() @ vectors.double().T).topk(5)
    structure = made(kind, vectors)
    found = structure.search(queries, 5, structure.efforts[-1])
    assert torch.equal(found.items, items)
    torch.testing.assert_close(found.scores.double(), scores, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "most"), [("int8", 0.999), ("ivf", 0.999), ("hnsw", 0.95)])
def test_more_effort_finds_no_less_and_the_least_not_all(kind: str, most: float) -> None:
    """From one group of vectors a graph may not lead to another, so that some are not found at all."""
    vectors, queries = space(4000, 32), space(200, 32, seed=1)
    exact, structure = made("exact", vectors).search(queries, 10, 1), made(kind, vectors)
    shares = [recall(structure.search(queries, 10, effort), exact) for effort in structure.efforts]
    assert shares[0] < 1
    assert shares[-1] > most
    assert shares == pytest.approx(sorted(shares), abs=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_are_found_as_there_are(kind: str) -> None:
    vectors = space(3)
    found = made(kind, vectors).search(vectors, 3, 64)
    assert [sorted(items) for items in found.items.tolist()] == [[0, 1, 2]] * 3
    one = made(kind, vectors[:1]).search(vectors, 1, 1)
    assert one.items.tolist() == [[0], [0], [0]]


def test_recall_counts_what_is_as_near_as_the_last() -> None:
    """The second of the exact search scores 0.5; of the three queries 2, 1 and 0 of 2 are that near."""
    exact = Found(torch.tensor([[0.9, 0.5]] * 3), torch.tensor([[0, 1]] * 3))
    found = Found(
        torch.tensor([[0.9, 0.5], [0.7, 0.4], [0.3, -9.0]]), torch.tensor([[0, 7], [3, 4], [5, -1]])
    )
    assert recall(found, exact) == pytest.approx((2 + 1 + 0) / 6)


def test_the_least_effort_that_reaches_the_goal_is_chosen() -> None:
    vectors = space(50)
    truth = Exact(vectors, {})

    class Half(Int8):
        """Finds half of the nearest with effort 1 and 2, and all from 4 on."""

        def search(self, queries: Tensor, k: int, effort: int) -> Found:
            found = truth.search(queries, k, 1)
            return (
                found
                if effort >= 4
                else found._replace(scores=found.scores - (torch.arange(k) >= k // 2).int())
            )

    half = Half(vectors, Int8.build(vectors))
    assert calibrate(half, vectors, vectors[:7]) == (4, 1.0)
    Half.efforts = (1, 2)
    assert calibrate(half, vectors, vectors[:7]) == (2, 0.5)
    assert calibrate(truth, vectors, vectors[:7]) == (1, 1.0)


def test_bytes_that_do_not_fit_are_refused() -> None:
    vectors = space(10)
    kept = Int8.build(vectors)
    for wrong in (
        {**kept, "codes": kept["codes"][:9]},
        {"codes": kept["codes"]},
        {**kept, "low": kept["high"][:3]},
    ):
        with pytest.raises(RunError, match=r"the index keeps .* and its kind needs"):
            Int8(vectors, wrong)
    with pytest.raises(RunError, match=r"its kind needs \{\}"):
        Exact(vectors, kept)
