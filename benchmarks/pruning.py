"""What pruning takes and costs: a run, pruned at once and with steps to recover, one row each.

    python benchmarks/pruning.py weights RUN [steps to recover] [metric ...]
    python benchmarks/pruning.py channels RUN [steps to recover] [metric ...]

Of channels also the parameters and the time of 64 rows, as shares of those of the run, measured in turns.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from accelerate import Accelerator
from table import in_turns

from fusion import Registry, Run, load
from fusion.evaluation.evaluate import evaluate
from fusion.inference import Predictor
from fusion.recipe_picks import Pick
from fusion.shrink.apply import apply, choose
from fusion.shrink.look import look
from fusion.shrink.recipes import recovered
from fusion.shrink.speed import rows_to_try
from fusion.tensors import write
from fusion.training.loop import train

REGISTRY = Registry()
SPARSITIES = {"weights": (0.5, 0.8, 0.9, 0.95), "channels": (0.25, 0.5, 0.75)}
WAYS = {
    "weights": [{"name": "prune-magnitude", "scope": scope} for scope in ("layer", "global")],
    "channels": [{"name": "prune-structured", "importance": how} for how in ("square", "taylor")],
}
ROUNDS = 7


def at_once(run: Run, pick: Pick, folder: Path) -> tuple[Predictor, dict[str, float], int]:
    model = load(run, "cpu", REGISTRY)
    chosen = choose([pick], REGISTRY)
    batches = look(model.model, run.recipe, REGISTRY, [one.compression for one in chosen])
    apply(model.model, chosen, batches)
    metrics = evaluate(model.model, run.recipe, REGISTRY, Accelerator(cpu=True), run.metrics).metrics
    write(folder / "model", dict(model.model.state_dict()))
    return model, metrics, (folder / "model").stat().st_size


def after(run: Run, pick: Pick, steps: int, folder: Path) -> tuple[Predictor, dict[str, float], int]:
    made = train(recovered(run, steps, [], REGISTRY), folder / "run", compress=[pick], registry=REGISTRY)
    return load(made, "cpu", REGISTRY), made.metrics, made.model_file.stat().st_size


def faster(before: Predictor, model: Predictor) -> float:
    """Return the time of 64 rows as a share of that before, the median over pairs."""
    rows = rows_to_try(before.recipe, before, REGISTRY)

    def seconds(one: Predictor) -> float:
        began = time.perf_counter()
        one.predict(rows)
        return time.perf_counter() - began

    pairs = in_turns(ROUNDS, lambda: seconds(model), lambda: seconds(before))
    return median(new / old for new, old in zip(*pairs, strict=True))


def table(what: str, run: Run, steps: int, keys: Sequence[str]) -> None:
    before, size = load(run, "cpu", REGISTRY), run.model_file.stat().st_size
    count = sum(part.numel() for part in before.model.parameters())
    print("| pruned | steps to recover |", " | ".join(keys), "| file | parameters | time of 64 rows |")
    print("|---|--:|" + "--:|" * (len(keys) + 3))
    for way in [{}, *WAYS[what]]:
        for sparsity in SPARSITIES[what] if way else [0.0]:
            for recover in (0, steps) if way else [0]:
                pick = Pick(**way, sparsity=sparsity) if way else None
                with TemporaryDirectory() as name:
                    folder = Path(name)
                    if pick is None:
                        model, metrics, bytes_ = before, run.metrics, size
                    elif recover:
                        model, metrics, bytes_ = after(run, pick, recover, folder)
                    else:
                        model, metrics, bytes_ = at_once(run, pick, folder)
                    share = sum(part.numel() for part in model.model.parameters()) / count
                    said = " ".join(str(value) for key, value in way.items() if key != "name") or "nothing"
                    figures = [f"{100 * metrics[key]:.1f}" for key in keys]
                    timed = f"{faster(before, model):.2f}" if what == "channels" else ""
                    cells = [f"{said} {sparsity:g}", str(recover), *figures]
                    print(
                        "|",
                        " | ".join([*cells, f"{bytes_ / size:.2f}", f"{share:.2f}", timed]),
                        "|",
                        flush=True,
                    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, folder, *rest = sys.argv[1:]
    steps, keys = int(rest[0]) if rest else 100, rest[1:] or ["subsets/image/accuracy"]
    table(what, Run(folder), steps, keys)
