"""What losses over every two rows take, beside plain ones and those of open_clip and sentence-transformers.

    python benchmarks/losses.py [rows ...]

Forward and backward for two modalities of width 512 in fp32, for the vectors and the temperature. Memory is
the peak above what is held before, which the inputs are part of and gradients are not. On a CPU each figure
is of a process of its own, in turns, its seconds are those that it worked, and 32,768 rows take the plain
ones 16 GiB; with a GPU the sizes are 8,192 to 65,536, and what does not fit is left out. A warm-up is not
counted.
"""

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from table import row
from torch import Tensor

from fusion import Embeddings, Registry

WIDTH = 512
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
SIZES = (8192, 16384, 32768, 65536) if GPU else (256, 512, 1024, 8192, 16384)
PEERS_AT = (8192, 16384)
GOALS = {8192: (1 / 10, 0.8), 32768: (1 / 40, 0.6)}  # of memory and time, beside plain
SMALL = 1024  # up to so many rows, ours may not be slower
CHUNK = 2048
Loss = Callable[[Tensor, Tensor], Tensor]


def leaf(value: float) -> Tensor:
    return torch.full((1,), value, device=DEVICE, requires_grad=True)


def ours(name: str) -> Loss:
    loss = Registry().find("objective", name).component.resolve()(("image", "text"), WIDTH).to(DEVICE)

    def run(x: Tensor, y: Tensor) -> Tensor:
        place = torch.arange(len(x), device=DEVICE)
        present = torch.ones_like(place, dtype=torch.bool)
        content = {"image": 0 * place, "text": place + 1}
        both = {"image": present, "text": present}
        rows = Embeddings({"image": x, "text": y}, both, {}, {}, content, 0 * place)
        found: Tensor = loss(rows, x, {"label": place})
        return found

    return run


def plain_contrastive() -> Loss:
    scale = leaf(1 / 0.07)

    def run(x: Tensor, y: Tensor) -> Tensor:
        logits = scale * (x @ y.T)
        own = torch.arange(len(x), device=DEVICE)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    return run


def plain_sigmoid() -> Loss:
    scale, bias = leaf(10.0), leaf(-10.0)

    def run(x: Tensor, y: Tensor) -> Tensor:
        logits = scale * (x @ y.T) + bias
        sign = 2 * torch.eye(len(x), device=DEVICE) - 1
        return -F.logsigmoid(sign * logits).sum() / len(x)

    return run


def open_clip_contrastive() -> Loss:
    from open_clip.loss import ClipLoss

    loss, scale = ClipLoss(), leaf(1 / 0.07)
    return lambda x, y: loss(x, y, scale)


def open_clip_sigmoid() -> Loss:
    from open_clip.loss import SigLipLoss

    loss, scale, bias = SigLipLoss(), leaf(10.0), leaf(-10.0)
    return lambda x, y: loss(x, y, scale, bias)


def open_clip_chunks() -> Loss:
    """SigLipLoss chunk by chunk, as its ranks do, each with a backward: it has no option for it."""
    from open_clip.loss import SigLipLoss

    loss, scale, bias = SigLipLoss(), leaf(10.0), leaf(-10.0)

    def run(x: Tensor, y: Tensor) -> Tensor:
        total = x.new_zeros(())
        for i, ours in enumerate(x.split(CHUNK)):
            for j, theirs in enumerate(y.split(CHUNK)):
                part = loss._loss(ours, theirs, scale, bias, negative_only=i != j) * len(ours) / len(x)
                part.backward()
                total += part.detach()
        return total

    return run


def sentence_transformers(*directions: str, cached: bool = False) -> Loss:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import losses

    model = SentenceTransformer(modules=[torch.nn.Identity()], device=str(DEVICE))
    options = {"scale": 1 / 0.07, "directions": directions, "partition_mode": "per_direction"}
    own = torch.empty(0)
    if not cached:
        loss = losses.MultipleNegativesRankingLoss(model, **options)
        return lambda x, y: loss.compute_loss_from_embeddings([x, y], own)
    held = losses.CachedMultipleNegativesRankingLoss(model, **options)
    return lambda x, y: held.calculate_loss([[x], [y]], with_backward=True)


BOTH = ("query_to_doc", "doc_to_query")
WAYS: dict[str, Callable[[], Loss]] = {
    "contrastive": lambda: ours("contrastive"),
    "sigmoid": lambda: ours("sigmoid"),
    "plain contrastive": plain_contrastive,
    "plain sigmoid": plain_sigmoid,
    "open_clip ClipLoss": open_clip_contrastive,
    "open_clip SigLipLoss": open_clip_sigmoid,
    f"open_clip SigLipLoss in chunks of {CHUNK}": open_clip_chunks,
    "sentence-transformers MNRL, both directions": lambda: sentence_transformers(*BOTH),
    "sentence-transformers CachedMNRL, both": lambda: sentence_transformers(*BOTH, cached=True),
    "sentence-transformers CachedMNRL, one direction": lambda: sentence_transformers(BOTH[0], cached=True),
}


def step(loss: Loss, x: Tensor, y: Tensor) -> float:
    """Return the loss, after its backward."""
    x.grad = y.grad = None
    value = loss(x, y)
    if value.requires_grad:
        value.backward()
    return value.item()


def measure(way: str, rows: int) -> list[float]:
    """Return the seconds, the mebibytes and the loss of one way."""
    torch.manual_seed(0)
    loss = WAYS[way]()

    def inputs(rows: int) -> list[Tensor]:
        drawn = (torch.randn(rows, WIDTH, device=DEVICE) for _ in range(2))
        return [F.normalize(part, dim=1).requires_grad_() for part in drawn]

    step(loss, *inputs(1100))
    given = inputs(rows)
    reset_peak()
    before = held()
    seconds = []
    for _ in range(max(1, min(20, 8192 * 4096 // rows**2))):
        began = clock()
        value = step(loss, *given)
        seconds.append(clock() - began)
    return [sorted(seconds)[len(seconds) // 2], (peak() - before) / 2**20, value]


def clock() -> float:
    """Return the seconds that the GPU has worked, after all that was asked of it, or this process."""
    return time.perf_counter() if GPU else time.process_time()


def reset_peak() -> None:
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def held() -> int:
    return torch.cuda.memory_allocated() if GPU else status("VmRSS")


def peak() -> int:
    return torch.cuda.max_memory_allocated() if GPU else status("VmHWM")


def status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


@functools.cache
def once(way: str, rows: int) -> list[float] | None:
    """Return the figures of one way, measured once: on a CPU a second time takes minutes."""
    return figures(way, rows)


def figures(way: str, rows: int) -> list[float] | None:
    """Return the figures of one way, or None where they take more memory than there is."""
    if GPU:
        try:
            return measure(way, rows)
        except torch.OutOfMemoryError:
            return None
        finally:
            torch.cuda.empty_cache()
    done = subprocess.run(
        [sys.executable, __file__, "measure", way, str(rows)], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        found: list[float] = json.loads(done.stdout.splitlines()[-1])
        return found
    if "OutOfMemoryError" in done.stderr or done.returncode == -9:
        return None
    sys.exit(done.stderr)


def compare(mine: str, other: str, rows: int, memory: float | None, seconds: float | None) -> None:
    rounds, measured = (3, figures) if GPU else (1, once)
    turns = [(measured(mine, rows), measured(other, rows)) for _ in range(rounds)]
    pairs = [(first, second) for first, second in turns if first and second]
    title = f"{mine}, {rows:,} rows, beside {other.removesuffix(' ' + mine)}"
    if not pairs:
        print(f"{title}: does not fit; ours: {turns[0][0]} (seconds, MiB, loss)", flush=True)
        return
    for first, second in pairs:
        if "one direction" not in other and abs(first[2] - second[2]) > 1e-3:
            sys.exit(f"{title}: losses {first[2]} and {second[2]}")
    columns = list(zip(*pairs, strict=True))
    row(f"time, {title}", *([found[0] for found in side] for side in columns), "s", seconds)
    if rows > SMALL:
        row(f"memory, {title}", *([found[1] for found in side] for side in columns), "MiB", memory)


def main(*sizes: int) -> None:
    print(f"{torch.get_num_threads()} threads" if not GPU else torch.cuda.get_device_name(), flush=True)
    for rows in sizes or SIZES:
        memory, seconds = GOALS.get(rows, (None, 1.0 if rows <= SMALL else None))
        for name in ("contrastive", "sigmoid"):
            compare(name, f"plain {name}", rows, memory, seconds)
        for peer in WAYS if rows in PEERS_AT else ():
            if " " in peer and not peer.startswith("plain"):
                compare("sigmoid" if "SigLip" in peer else "contrastive", peer, rows, 1 / 3, 0.7)


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
    else:
        main(*(int(argument) for argument in sys.argv[1:]))
