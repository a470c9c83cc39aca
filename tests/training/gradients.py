"""What `test_rank_gradients` runs on several ranks: the gradients of every loss, on all ranks and on one.

    python -m torch.distributed.run ... gradients.py FOLDER

Rank r writes FOLDER/r, tensors by "WHO/CASE/OBJECTIVE/PARAMETER", where WHO is `ranks`, or `one` by rank 0.
"""

import sys
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from fusion_toy import NAMES, Tower
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from fusion import Registry
from fusion.batch import Batch
from fusion.model import Model
from fusion.objectives import tiles
from fusion.training.gather import gather

# what is fp32 in a training is float64 here, so that nothing is rounding
torch.set_default_dtype(torch.float64)
Tensor.float = Tensor.double  # type: ignore[method-assign, assignment]

ROWS, WIDTH = 24, 6
SOURCES = ("first", "second", "third")
OPTIONS: dict[str, dict[str, Any]] = {
    "contrastive": {"temperature": 0.2},
    "sigmoid": {"scale": 5.0, "bias": -1.0},
    "classify": {"classes": 3},
    "regress": {"target": "value"},
    "multilabel": {"target": "flags", "classes": 2},
    "coral": {},
    "mmd": {"modality": "text"},
    "moments": {},
    "adversarial": {"hidden": 8},
    "cdan": {"classes": 3, "hidden": 8, "modality": "text"},
    "groupdro": {"classes": 3, "rate": 0.5},
    "distill": {"target": "known", "dim": 5},
    "distill-relations": {"teacher": "text", "neighbours": 5},
    "distill-contrast": {"target": "known", "dim": 5, "same": "label"},
    "distill-labels": {"classes": 3, "teacher": "text"},
}


class Case(NamedTuple):
    """How a model is built: its fuser, what of it learns, and up to how many rows are compared at once."""

    fuser: str
    learning: tuple[str, ...]  # how names of parameters begin that learn; all with ""
    whole: int = 0


CASES = {
    "tiles": Case("attend", ("",)),
    "at once": Case("attend", ("",), whole=1024),
    # a rank without sounds has nothing then that needs a gradient
    "frozen": Case("mean", ("encoders.audio", "objectives")),
}


def rows(start: int, stop: int) -> Batch:
    """Return some rows of the batch: sounds are in the last quarter, pictures not in the first."""
    random = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(ROWS, 4, generator=random) for name in NAMES}
    known = torch.randn(ROWS, 5, generator=random)
    known[5] = torch.nan
    place = torch.arange(ROWS)
    present = {"image": place >= ROWS // 4, "text": place % 5 > 0, "audio": place >= 3 * ROWS // 4}
    shown = {name: mark & ((place + len(name)) % 4 > 0) for name, mark in present.items()}
    value = torch.where(place % 4 > 0, place / ROWS, torch.nan)
    targets = {
        "label": torch.where(place % 7 > 1, place % 3, -100),
        "value": value,
        "flags": torch.stack([(place % 2).double(), value.round()], dim=1),
        "known": known,
    }
    content = {"image": place % 8, "text": place % 11 + 2**50, "audio": 0 * place}
    some = slice(start, stop)
    own = {name: x[some][present[name][some]] for name, x in inputs.items()}
    return Batch(
        {name: mark[some] for name, mark in present.items()},
        {name: mark[some] for name, mark in shown.items()},
        {name: {"x": x} for name, x in own.items() if len(x)},
        {name: target[some] for name, target in targets.items()},
        {name: mark[some] for name, mark in content.items()},
        (place * 5 % 7 % 3)[some],
        place[some],
    )


def build(case: Case, objective: str, registry: Registry) -> Model:
    torch.manual_seed(1)

    def component(kind: str, name: str) -> Any:
        return registry.find(kind, name).component

    fuser = {"heads": 2, "layers": 1, "dropout": 0.0} if case.fuser == "attend" else {}
    place = [NAMES, WIDTH]
    offer = component("objective", objective)
    sources = [SOURCES] if "sources" in offer.positional() else []
    model = Model(
        {name: Tower(dropout=0.0) for name in NAMES},
        WIDTH,
        component("fuser", case.fuser).resolve()(*place, **fuser),
        {"loss": offer.resolve()(*place, *sources, **OPTIONS[objective])},
        {"loss": 1.7},
        dict.fromkeys([*(f"encoders.{name}" for name in NAMES), "fuser"], "this test"),
    )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(case.learning))
    return model.train()


def gradients(model: Model) -> dict[str, Tensor]:
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {name: gradient.clone() for name, gradient in found.items() if gradient is not None}


def main(folder: str) -> None:
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    registry = Registry()
    builtin = {offer.component.name for offer in registry if offer.origin.plugin == "builtin"}
    assert builtin & set(registry.names("objective")) == set(OPTIONS)
    flat = {}
    for title, case in CASES.items():
        tiles.WHOLE, tiles.EDGE = {"cpu": case.whole}, 5
        for objective in OPTIONS:
            for who in ("ranks", "one") if rank == 0 else ("ranks",):
                model = build(case, objective, registry)
                model.start_step(3, 10)
                if who == "ranks":
                    wrapped = DistributedDataParallel(model, find_unused_parameters=True)
                    losses = wrapped(rows(rank * ROWS // ranks, (rank + 1) * ROWS // ranks), gather)
                else:
                    losses = model(rows(0, ROWS))
                losses.total.backward()
                found = gradients(model) | {"total": losses.total.detach()}
                flat |= {f"{who}/{title}/{objective}/{name}": value for name, value in found.items()}
    save_file({name: value.contiguous() for name, value in flat.items()}, f"{folder}/{rank}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
