"""What each kind of index finds of the nearest 10, and how many queries a second it answers, beside exact.

    python benchmarks/search.py [rows ...] [kind ...]

Vectors of width 128 around a thousand centres, with less spread in later dimensions; 256 queries are drawn
as they are, and 256 lie apart from all of them, as those of another modality do (Liang et al. 2022). The
effort of a kind is chosen on other 128 of each, as `fusion index` chooses it. Rates are those of this
process's time, on one thread, each measured in turns with exact search; `built` is the time to build what is
kept, and `opened` the time to build a structure again from that.
"""

import sys
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from table import in_turns
from torch import Tensor

from fusion.search.index import KINDS
from fusion.search.structure import NEAREST, Structure, calibrate, recall

WIDTH, CENTRES, QUERIES, ROUNDS = 128, 1_000, 256, 3
SINGLE, ONE = 32, 3_200_000  # queries one at a time, fewer where there are many rows
COLUMNS = ("rows", "kind", "effort", "recall", "of another modality", "built", "opened", "kept beside")
RATES = ("queries/s, one", "ratio", "queries/s, 64", "ratio")


def draw(rows: int, random: torch.Generator, centres: Tensor) -> Tensor:
    """Return unit vectors (rows, w)."""
    spread = 1 / (1 + torch.arange(WIDTH) / 16).sqrt()
    found = []
    for start in range(0, rows, 1 << 17):
        many = min(1 << 17, rows - start)
        near = centres[torch.randint(CENTRES, (many,), generator=random)]
        found.append(F.normalize(near + torch.randn(many, WIDTH, generator=random) * spread, dim=1))
    return torch.cat(found)


def seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def rate(structure: Structure, queries: Tensor, effort: int, each: int) -> float:
    """Return queries a second, `each` at a time."""
    parts = queries.split(each)
    return len(queries) / seconds(lambda: [structure.search(part, NEAREST, effort) for part in parts])


def main(*words: str) -> None:
    sizes = [int(word) for word in words if word.isdecimal()] or [10_000, 100_000, 1_000_000]
    kinds = [word for word in words if not word.isdecimal()] or list(KINDS)
    torch.set_num_threads(1)
    print(f"| {' | '.join((*COLUMNS, *RATES))} |\n|{'--:|' * (len(COLUMNS) + len(RATES))}")
    for rows in sizes:
        random = torch.Generator().manual_seed(0)
        centres = F.normalize(torch.randn(CENTRES, WIDTH, generator=random), dim=1) * 6
        vectors = draw(rows, random, centres)
        gap = F.normalize(torch.randn(WIDTH, generator=random), dim=0)
        asked = [draw(QUERIES, random, centres) for _ in range(3)]
        own, choosing, other = asked[0], asked[1][:128], F.normalize(asked[2] + gap, dim=1)
        choosing = torch.cat([choosing, F.normalize(asked[1][128:] + gap, dim=1)])
        exact = KINDS["exact"](vectors, {})
        truth, truth_other = (exact.search(queries, NEAREST, 1) for queries in (own, other))
        for kind in kinds:
            structure_of = KINDS[kind]
            began = time.process_time()
            kept = structure_of.build(vectors)
            built = time.process_time() - began
            began = time.process_time()
            structure = structure_of(vectors, kept)
            opened = time.process_time() - began
            effort, _ = calibrate(structure, vectors, choosing)
            shares = [
                recall(structure.search(queries, NEAREST, effort), true)
                for queries, true in ((own, truth), (other, truth_other))
            ]
            cells = [f"{rows:,}", kind, str(effort), *(f"{share:.3f}" for share in shares)]
            cells += [f"{built:.1f} s", f"{opened:.2f} s"]
            cells += [f"{sum(tensor.nbytes for tensor in kept.values()) / 2**20:.0f} MiB"]
            for queries, each in ((own[: max(4, min(SINGLE, ONE // rows))], 1), (own, 64)):
                mine, plain = in_turns(
                    ROUNDS,
                    lambda q=queries, e=each, s=structure, f=effort: rate(s, q, f, e),
                    lambda q=queries, e=each, s=exact: rate(s, q, 1, e),
                )
                ratio = median(first / second for first, second in zip(mine, plain, strict=True))
                cells += [f"{median(mine):,.0f}", f"{ratio:.2f}"]
            print(f"| {' | '.join(cells)} |", flush=True)
            del structure, kept


if __name__ == "__main__":
    main(*sys.argv[1:])
