"""Structures by faiss (Douze et al. 2024), whose own files are never read: they are parsed without care.

What is kept are plain arrays, which are looked at before faiss is given them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusion.errors import RunError
from fusion.gallery import Found
from fusion.search.structure import Structure, expect, settled
from fusion.ties import CLOSE

NEIGHBOURS, CONSTRUCTION = 16, 80
"""Of a vector in the graph, twice as many at its ground; and how many are looked at to choose them."""
ROUNDS, SAMPLE = 10, 32
"""Of k-means, and the vectors of each list that it looks at."""


class _ByFaiss(Structure):
    @classmethod
    def expect_library(cls) -> None:
        library()


class Lists(_ByFaiss):
    """Vectors in lists by the nearest of centres; a query looks through the `effort` nearest lists.

    An inverted file (Jégou et al. 2011) with about 4 times the root of n lists, by k-means on the sphere.
    """

    efforts = (1, 2, 4, 8, 16, 32, 64, 128, 256)

    @classmethod
    def build(cls, vectors: Tensor) -> dict[str, Tensor]:
        faiss = library()
        count, width = vectors.shape
        lists = max(1, min(round(4 * count**0.5), count))
        means = faiss.Kmeans(
            width,
            lists,
            niter=ROUNDS,
            spherical=True,
            min_points_per_centroid=1,
            max_points_per_centroid=SAMPLE,
        )
        means.train(vectors.numpy())
        centres = torch.from_numpy(means.centroids)
        places = means.index.search(vectors.numpy(), 1)[1][:, 0]
        return {"centres": centres, "places": torch.from_numpy(places.astype(np.int32))}

    def __init__(self, vectors: Tensor, kept: Mapping[str, Tensor]) -> None:
        faiss = library()
        count, width = vectors.shape
        centres, places = kept.get("centres", torch.empty(0)), kept.get("places", torch.empty(0))
        form = (torch.float32, (len(centres), width))
        expect(kept, {"centres": form, "places": (torch.int32, (count,))})
        if not bool(centres.isfinite().all()) or _outside(places, 0, len(centres)):
            raise RunError("the index keeps vectors in lists that it does not have; `fusion index` it again")
        self.ground = faiss.IndexFlatIP(width)  # the index does not own it
        self.ground.add(centres.numpy())
        self.index = faiss.IndexIVFFlat(self.ground, width, len(centres), faiss.METRIC_INNER_PRODUCT)
        given, where = np.ascontiguousarray(vectors.numpy()), places.numpy().astype(np.int64)
        self.index.add_core(count, faiss.swig_ptr(given), None, faiss.swig_ptr(where))
        self.how, self.vectors = faiss.SearchParametersIVF, vectors

    def search(self, queries: Tensor, k: int, effort: int) -> Found:
        how = self.how(nprobe=min(effort, self.index.nlist))
        asked, most = queries.numpy(), min(k + 1, len(self.vectors))
        scores, items = map(torch.from_numpy, self.index.search(asked, most, params=how))
        if bool((scores.diff(dim=1) < -CLOSE).all()):
            return Found(scores[:, :k].clamp(-1, 1), items[:, :k])
        floors = scores[:, k - 1] - CLOSE
        many = (scores[:, k:] >= floors[:, None]).any(1)  # faiss leaves out any of those that are equal
        of, places = (scores >= floors.masked_fill(many, torch.inf)[:, None]).nonzero(as_tuple=True)
        pairs = [(of, items[of, places])]
        for query in many.nonzero().flatten().tolist():
            _, _, near = self.index.range_search(asked[query, None], float(floors[query]), params=how)
            pairs.append((torch.full((len(near),), query), torch.from_numpy(near)))
        of, items = map(torch.cat, zip(*pairs, strict=True))
        return settled(queries, of, items, self.vectors, k)


class Graph(_ByFaiss):
    """Vectors in a graph of near ones, in layers; a query keeps the `effort` nearest as it goes along.

    HNSW (Malkov and Yashunin 2018). Of equal ones the first are those of all that it came to keep.
    """

    efforts = (16, 32, 64, 128, 256, 512)

    @classmethod
    def build(cls, vectors: Tensor) -> dict[str, Tensor]:
        faiss = library()
        index = faiss.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = CONSTRUCTION
        index.add(vectors.numpy())
        levels, near = (faiss.vector_to_array(part) for part in (index.hnsw.levels, index.hnsw.neighbors))
        return {
            "levels": torch.from_numpy(levels.astype(np.int32)),
            "near": torch.from_numpy(near.astype(np.int32)),
            "first": torch.tensor([index.hnsw.entry_point], dtype=torch.int32),
        }

    def __init__(self, vectors: Tensor, kept: Mapping[str, Tensor]) -> None:
        faiss = library()
        count, width = vectors.shape
        self.index = faiss.IndexHNSWFlat(width, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        graph = self.index.hnsw
        room = faiss.vector_to_array(graph.cum_nneighbor_per_level)  # of a vector that is in so many layers
        levels, near = kept.get("levels", torch.empty(0)), kept.get("near", torch.empty(0))
        forms = {"levels": (count,), "near": (len(near),), "first": (1,)}
        expect(kept, {name: (torch.int32, shape) for name, shape in forms.items()})
        if _outside(levels, 1, len(room)) or not _leads_nowhere_else(
            levels.numpy(), near.numpy(), int(kept["first"]), room
        ):
            raise RunError("the index keeps a graph that leads out of it; `fusion index` it again")
        faiss.copy_array_to_vector(levels.numpy(), graph.levels)
        graph.prepare_level_tab(count, True)
        faiss.copy_array_to_vector(near.numpy(), graph.neighbors)
        graph.entry_point, graph.max_level = int(kept["first"]), int(levels.max()) - 1
        self.index.storage.add(vectors.numpy())
        self.index.ntotal = count
        self.how, self.vectors = faiss.SearchParametersHNSW, vectors

    def search(self, queries: Tensor, k: int, effort: int) -> Found:
        most = min(max(effort, k), len(self.vectors))
        asked = self.index.search(queries.numpy(), most, params=self.how(efSearch=max(effort, k)))
        scores, items = map(torch.from_numpy, asked)
        if bool((scores[:, : k + 1].diff(dim=1) < -CLOSE).all()):
            return Found(scores[:, :k].clamp(-1, 1), items[:, :k])
        of, places = (scores >= scores[:, k - 1, None] - CLOSE).nonzero(as_tuple=True)
        return settled(queries, of, items[of, places], self.vectors, k)


def library() -> Any:
    """Return faiss. Raises RunError where it is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise RunError(
            "an index of the kind ivf or hnsw needs the library faiss: pip install 'fusion-bind[search]'; "
            "exact and int8 need none"
        ) from error
    return faiss


def _outside(numbers: Tensor, least: int, end: int) -> bool:
    return not least <= int(numbers.min()) <= int(numbers.max()) < end


def _leads_nowhere_else(levels: Any, near: Any, first: int, room: Any) -> bool:
    """Whether each neighbour is a vector of the graph that is in the layer in which it is one."""
    count = len(levels)
    starts = np.concatenate([[0], np.cumsum(room[levels])])
    if len(near) != starts[-1] or near.min() < -1 or near.max() >= count:
        return False
    if not 0 <= first < count or levels[first] != levels.max():
        return False
    for layer in range(int(levels.max())):
        own = starts[:-1][levels > layer]
        some = near[own[:, None] + np.arange(room[layer], room[layer + 1])]
        if (levels[some[some >= 0]] <= layer).any():
            return False
    return True
