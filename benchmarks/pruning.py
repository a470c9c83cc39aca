"""What pruning takes and costs: a run, pruned at once and with steps to recover, one row each.

    python benchmarks/pruning.py weights RUN [steps to recover] [metric ...]
    python benchmarks/pruning.py channels RUN [steps to recover] [metric ...]

Of channels also the parameters, and the processor time of each encoder for 64 rows, as shares of those of the
run, measured in turns.
"""

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from accelerate import Accelerator
from table import in_turns

from fusion import Registry, Run, load
from fusion.compressions.prune_structured import PruneStructured
from fusion.evaluation.evaluate import evaluate
from fusion.inference import Predictor
from fusion.recipe.picks import Pick
from fusion.shrink.apply import apply, choose
from fusion.shrink.look import look
from fusion.shrink.recipes import recovered
from fusion.tensors import write
from fusion.training.loop import train

REGISTRY = Registry()
SPARSITIES = {"weights": (0.5, 0.8, 0.9, 0.95), "channels": (0.25, 0.5, 0.75)}
WAYS = {
    "weights": [{"name": "prune-magnitude", "scope": scope} for scope in ("layer", "global")],
    "channels": [
        {"name": "prune-structured", "importance": how, "scope": scope}
        for how in ("square", "taylor")
        for scope in ("layer", "global")
    ],
}
ROUNDS = 15


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


def faster(before: Predictor, model: Predictor) -> str:
    """Return the processor time of each encoder for 64 rows as shares of those before, medians over pairs."""
    batches = look(before.model, before.recipe, REGISTRY, [PruneStructured()])

    @torch.no_grad()
    def seconds(one: Predictor, name: str) -> float:
        given = [batch.inputs[name] for batch in batches if name in batch.inputs][:4]
        began = time.process_time()
        for inputs in given:
            one.model.encode(name, inputs)
        return time.process_time() - began

    shares = []
    for name in before.model.modalities:
        pairs = in_turns(ROUNDS, partial(seconds, model, name), partial(seconds, before, name))
        shares.append(median(new / old for new, old in zip(*pairs, strict=True)))
    return ", ".join(f"{share:.2f}" for share in shares)


def table(what: str, run: Run, steps: int, keys: Sequence[str]) -> None:
    before, size = load(run, "cpu", REGISTRY), run.model_file.stat().st_size
    count = sum(part.numel() for part in before.model.parameters())
    print("| pruned | steps to recover |", " | ".join(keys), "| file | parameters | time |")
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
                    timed = faster(before, model) if what == "channels" else ""
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
