"""Structures by faiss are built again from plain arrays, which may come from a stranger."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import pytest
import torch
from torch import Tensor

from fusion import RunError
from fusion.search.neighbourhoods import Graph, Lists
from tests.search.test_structure import space

ROOT = Path(__file__).parents[2]


def test_no_file_of_faiss_is_read_or_written() -> None:
    files = sorted((ROOT / "fusion").rglob("*.py"))
    assert len(files) > 200
    assert [
        path.name for path in files if re.search(r"(read|write)_index|deserialize", path.read_text())
    ] == []


def test_lists_are_those_of_an_own_search() -> None:
    """With effort 1 the nearest are those of the one list whose centre is nearest."""
    vectors, queries = space(600), space(20, seed=1)
    kept = Lists.build(vectors)
    centres, places = kept["centres"], kept["places"]
    assert torch.equal(places.long(), (vectors @ centres.T).argmax(1))
    assert len(centres) == round(4 * 600**0.5)
    found = Lists(vectors, kept).search(queries, 1, 1)
    own = places == (queries @ centres.T).argmax(1)[:, None]
    assert torch.equal(found.items[:, 0], (queries @ vectors.T).masked_fill(~own, -2).argmax(1))


def test_what_no_list_holds_is_not_found() -> None:
    """Two lists, of one and of two vectors: k is 3, and 1 or 2 can be found where one list is looked at."""
    vectors = torch.eye(3)
    kept = {"centres": torch.eye(3)[[0, 1]], "places": torch.tensor([0, 1, 1], dtype=torch.int32)}
    found = Lists(vectors, kept).search(torch.eye(3)[:2], 3, 1)
    assert [sorted(items) for items in found.items.tolist()] == [[-1, -1, 0], [-1, 1, 2]]


def test_a_graph_is_the_one_that_was_built() -> None:
    vectors, queries = space(3000), space(20, seed=1)
    index = faiss.IndexHNSWFlat(24, 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 80, 20
    faiss.omp_set_num_threads(1)  # with several, a graph is another each time
    index.add(vectors.numpy())
    scores, items = index.search(queries.numpy(), 7)
    found = Graph(vectors, Graph.build(vectors)).search(queries, 7, 20)
    assert found.items.tolist() == items.tolist()
    torch.testing.assert_close(found.scores, torch.from_numpy(scores), rtol=0, atol=1e-6)
    assert int(Graph.build(vectors)["levels"].max()) > 1  # of several layers


def changed(kept: dict[str, Tensor], name: str, change: Callable[[Tensor], Any]) -> dict[str, Tensor]:
    """Return what is kept with one tensor changed: in place, or by what `change` returns."""
    tensor = kept[name].clone()
    new = change(tensor)
    return {**kept, name: tensor if new is None else new}


def put(place: int, value: float) -> Callable[[Tensor], None]:
    def change(tensor: Tensor) -> None:
        tensor.view(-1)[place] = value

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("places", put(5, 98)),
        ("places", put(5, -1)),
        ("places", lambda places: places[:-1]),
        ("places", lambda places: places.long()),
        ("centres", put(7, float("nan"))),
        ("centres", lambda centres: centres[:, :-1]),
        ("centres", lambda centres: centres[:0]),
    ],
)
def test_lists_that_are_not_there_are_refused(name: str, change: Callable[[Tensor], Any]) -> None:
    vectors = space(600)
    kept = Lists.build(vectors)
    Lists(vectors, kept)
    with pytest.raises(RunError, match="`fusion index` it again"):
        Lists(vectors, changed(kept, name, change))
    with pytest.raises(RunError, match="`fusion index` it again"):
        Lists(vectors, {key: tensor for key, tensor in kept.items() if key != name})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("levels", put(5, 0)),
        ("levels", put(5, 100)),
        ("levels", lambda levels: levels + 1),
        ("near", put(3, 3000)),
        ("near", put(3, -2)),
        ("near", lambda near: near[:-1]),
        ("first", put(0, -1)),
        ("first", put(0, 3000)),
        ("first", lambda first: torch.cat([first, first])),
    ],
)
def test_a_graph_that_leads_out_of_itself_is_refused(name: str, change: Callable[[Tensor], Any]) -> None:
    vectors = space(3000)
    kept = Graph.build(vectors)
    Graph(vectors, kept)
    with pytest.raises(RunError, match="`fusion index` it again"):
        Graph(vectors, changed(kept, name, change))
    with pytest.raises(RunError, match="`fusion index` it again"):
        Graph(vectors, {key: tensor for key, tensor in kept.items() if key != name})


def test_a_neighbour_has_to_be_in_the_layer_in_which_it_is_one() -> None:
    """Followed there, faiss would read past the neighbours of a vector that is in fewer layers."""
    vectors = space(3000)
    kept = Graph.build(vectors)
    levels = kept["levels"]
    high, ground = int((levels > 1).nonzero()[0]), int((levels == 1).nonzero()[0])
    start = int((32 + 16 * (levels[:high].long() - 1)).sum())  # 32 neighbours at the ground, 16 in each layer
    assert 0 <= int(kept["near"][start + 32]) != ground
    near = put(start + 32, ground)
    with pytest.raises(RunError, match="leads out of it"):
        Graph(vectors, changed(kept, "near", near))
    Graph(vectors, changed(kept, "near", put(start, ground)))  # at the ground it may be one
    low = torch.tensor([ground], dtype=torch.int32)
    with pytest.raises(RunError, match="leads out of it"):
        Graph(vectors, {**kept, "first": low})


def test_without_faiss_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    for kind in (Lists, Graph):
        with pytest.raises(RunError, match=r"pip install 'fusion-bind\[search\]'; exact and int8 need none"):
            kind.expect_library()
