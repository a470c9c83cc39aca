"""Of equal scores the first items are taken and come first, for any k, whatever a product rounds."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fusion import Gallery, gallery
from fusion.search.index import KINDS
from fusion.search.structure import Structure
from fusion.ties import best, products


def copies(width: int = 24) -> tuple[Tensor, Tensor]:
    """Return 700 unit vectors, of which each is one of 40, and queries: some of these, and others."""
    random = torch.Generator().manual_seed(0)
    each = F.normalize(torch.randn(40, width, generator=random), dim=1)
    vectors = each[torch.randint(40, (700,), generator=random)]
    return vectors, torch.cat([each[:4], F.normalize(torch.randn(4, width, generator=random), dim=1)])


def truth(vectors: Tensor, queries: Tensor) -> list[list[int]]:
    """Return all items by score, of equal ones by number; copies are equal in nine digits."""
    scores = (queries.double() @ vectors.double().T).round(decimals=9)
    return [sorted(range(len(vectors)), key=lambda item: (-row[item], item)) for row in scores.tolist()]


def test_the_best_of_pairs_are_those_of_the_largest_scores_and_first_numbers() -> None:
    scores, items = best(
        torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0, 5.0]),
        torch.tensor([0, 0, 1, 0, 0, 1]),
        torch.tensor([7, 9, 4, 1, 2, 8]),
        queries=3,
        k=3,
    )
    assert items.tolist() == [[2, 9, 1], [8, 4, -1], [-1, -1, -1]]
    assert scores.tolist() == [[3, 3, 2], [5, 3, -torch.inf], [-torch.inf] * 3]


@pytest.mark.parametrize("width", [8, 31, 100, 768])
def test_equal_vectors_have_equal_products_wherever_they_are(width: int) -> None:
    random = torch.Generator().manual_seed(0)
    query, vector = F.normalize(torch.randn(2, width, generator=random), dim=1)
    found = set()
    for count in (1, 2, 7, 8, 33, 1000):
        others = torch.randn(count, width, generator=random)
        others[[0, count // 2, count - 1]] = vector
        of, items = torch.zeros(count, dtype=torch.long), torch.arange(count)
        product = products(query[None], of, items, lambda some, others=others: others[some])
        found |= {float(product[at]) for at in (0, count // 2, count - 1)}
        torch.testing.assert_close(product, others @ query)
    assert len(found) == 1


def test_a_product_is_no_larger_than_the_limit_and_none_is_that_of_no_item() -> None:
    queries, of = torch.tensor([[2.0, 0.0]]), torch.tensor([0, 0, 0])
    held = torch.tensor([[3.0, 1.0], [-3.0, 1.0]])
    product = products(queries, of, torch.tensor([0, 1, -1]), lambda some: held[some], limit=1)
    assert product.tolist() == [1, -1, -torch.inf]


@pytest.mark.parametrize("block", [64, 1 << 16])
@pytest.mark.parametrize("precision", ["float32", "int8", "binary"])
def test_a_gallery_finds_the_first_of_equal_ones(
    precision: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of codes all are looked at again, as they are rough; the blocks are several, or one."""
    monkeypatch.setattr(gallery, "BLOCK", block)
    vectors, queries = copies()
    wanted, kept = truth(vectors, queries), Gallery.of(vectors, precision)
    for k in (1, 2, 3, 10, 17, 50, 699, 700):
        found = kept.search(queries, k, oversample=700 / k, vectors=vectors, limit=1)
        assert found.items.tolist() == [items[:k] for items in wanted]
        assert float(found.scores.max()) == 1


@pytest.mark.parametrize("precision", ["int8", "binary"])
def test_rough_scores_that_are_equal_let_the_first_ones_through(precision: str) -> None:
    """With nothing but copies of two vectors, as many as are asked for are looked at again."""
    vectors = F.normalize(torch.tensor([[1.0, 2.0], [2.0, -1.0]]), dim=1)[torch.arange(99) % 2]
    for k in (1, 2, 7, 49):
        found = Gallery.of(vectors, precision).search(vectors[:2], k, oversample=1)
        assert found.items.tolist() == [list(range(0, 2 * k, 2)), list(range(1, 2 * k, 2))]


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_of_any_kind_finds_the_first_of_equal_ones(kind: str) -> None:
    vectors, queries = copies()
    wanted = truth(vectors, queries)
    structure: Structure = KINDS[kind](vectors, KINDS[kind].build(vectors))
    for k in (1, 2, 3, 10, 50, 200):
        found = structure.search(queries, k, structure.efforts[-1])
        assert found.items.tolist() == [items[:k] for items in wanted]


def test_scores_that_rounding_took_beyond_one_are_equal() -> None:
    """The later of two vectors is a little longer, by rounding: both are the query itself."""
    vectors = F.normalize(torch.tensor([[1.0, 1.0, 1.0]] * 2), dim=1)
    vectors[1] *= 1 + 4e-7
    for kind, made in KINDS.items():
        structure = made(vectors, made.build(vectors))
        for k in (1, 2):
            assert structure.search(vectors[:1] * (1 + 2e-7), k, 16).items[0].tolist() == [0, 1][:k], kind
