"""What dividing the tiles of a loss among ranks saves, beside ranks that each compute all of it.

    python benchmarks/loss_ranks.py [rows] [rounds]

Two processes over gloo, a thread each, hold the same rows; forward and backward of the loss alone, in turns.
Half of the time is the best there could be; the sums of the loss and of its gradient have to be exchanged.
"""

import os
import sys
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from loss_ways import WAYS, WIDTH, step
from table import row
from torch import Tensor, multiprocessing

from fusion.division import ALONE, Division, divided

RANKS = 2


def seconds(way: str, division: Division, given: list[Tensor]) -> float:
    loss = WAYS[way]()
    dist.barrier()
    began = time.perf_counter()
    with divided(division):
        step(loss, *given)
    dist.barrier()
    return time.perf_counter() - began


def work(rank: int, rows: int, rounds: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    torch.manual_seed(0)
    given = [F.normalize(torch.randn(rows, WIDTH), dim=1).requires_grad_() for _ in range(2)]
    for way in ("contrastive", "sigmoid"):
        turns = [
            (seconds(way, Division(rank, RANKS), given), seconds(way, ALONE, given)) for _ in range(rounds)
        ]
        if rank == 0:
            what = f"time, {way}, {rows:,} rows on {RANKS} ranks, divided beside each computing all"
            row(what, *zip(*turns, strict=True), "s")
    dist.destroy_process_group()


def main(rows: int = 8192, rounds: int = 3) -> None:
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "29517"}
    multiprocessing.spawn(work, (rows, rounds), RANKS)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
