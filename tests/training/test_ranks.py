"""Two processes train what one does: the same losses and weights, and refusals in words."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fusion import Registry, Run, TrainingError, train
from fusion.build import build_sources
from fusion.data.order import Order, schedule
from fusion.training.launch import launch
from tests.training.toys import ALIKE, close, lines, recipe, write

OBJECTIVES = {
    "contrastive": {"name": "contrastive", "hub": "text"},
    "sigmoid": {"name": "sigmoid", "same": None},
    "classify": {"name": "classify", "classes": 3},
    "regress": {"name": "regress", "target": "value"},
    "multilabel": {"name": "multilabel", "target": "flags", "classes": 2},
    "coral": {"name": "coral"},
    "mmd": {"name": "mmd", "modality": "text"},
    "moments": {"name": "moments"},
    "adversarial": {"name": "adversarial", "hidden": 8},
    "cdan": {"name": "cdan", "classes": 3, "hidden": 8, "modality": "text"},
    "groupdro": {"name": "groupdro", "classes": 3, "rate": 0.5},
    "distill": {"name": "distill", "teacher": "text", "student": "image"},
    "distill-relations": {"name": "distill-relations", "teacher": "text"},
    "distill-contrast": {"name": "distill-contrast", "teacher": "text", "same": "label"},
    "distill-labels": {"name": "distill-labels", "classes": 3, "teacher": "text"},
}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[dict[str, Any]], tuple[str, str, str]]:
    """Write a recipe and return the arguments that train it into `run`."""

    def words(changes: dict[str, Any]) -> tuple[str, str, str]:
        return str(write(recipe(changes), tmp_path / "toy.yaml")), "--out", str(tmp_path / "run")

    return words


def test_the_recipe_of_these_tests_leaves_a_rank_without_sounds(registry: Registry) -> None:
    made = recipe(ALIKE)
    sources = build_sources(made.sources, registry)
    order = Order({name: len(source) for name, source in sources.items()}, {"seen": 3, "heard": 1}, 4, 0)
    lacking = [(order(step).part(rank, 2).source == 0).all() for step in range(6) for rank in range(2)]
    assert sum(lacking) == 6


def test_all_builtin_objectives_are_tested_here(registry: Registry) -> None:
    builtin = {offer.component.name for offer in registry if offer.origin.plugin == "builtin"}
    assert builtin & set(registry.names("objective")) == set(OBJECTIVES)


@pytest.mark.parametrize("fuser", ["mean", "attend"])
def test_two_processes_give_the_losses_and_weights_of_one(
    fuser: str, registry: Registry, torchrun: Any, written: Any, tmp_path: Path
) -> None:
    changes = ALIKE | {"objectives": OBJECTIVES, "fuser": {"name": fuser, "modality_dropout": 0.3}}
    done = torchrun(2, "-m", "fusion", "train", *written(changes))
    assert done.returncode == 0, done.stderr
    two = Run(tmp_path / "run")
    one = train(recipe(changes), tmp_path / "one", registry=registry)
    assert [line["step"] for line in lines(two)] == [1, 2, 3, 4, 5, 6]
    close(one, two)
    for key in ("train/rows/image+text", "train/rows/text+audio", "train/steps"):
        assert two.metrics[key] == one.metrics[key]


def test_a_training_stopped_on_two_processes_goes_on_on_one(
    registry: Registry, torchrun: Any, written: Any, tmp_path: Path
) -> None:
    # only the main one hears, and tells the other with the next step
    stopped = torchrun(2, "-m", "fusion", "train", *written(ALIKE), TOY_SIGNAL="2@2")
    assert stopped.returncode != 0
    assert "stopped after step 4; go on with --resume" in stopped.stderr
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000004"]
    resumed = train(recipe(ALIKE), tmp_path / "run", resume=True, registry=registry)
    one = train(recipe(ALIKE), tmp_path / "one", registry=registry)
    close(one, resumed)


def test_bad_rows_of_every_rank_reach_the_ledger_and_too_many_stop_all(
    torchrun: Any, written: Any, tmp_path: Path
) -> None:
    assert schedule([3, 1]).tolist() == [0, 0, 1, 0]  # every sound is on the second of two ranks
    changes = {"sources.heard.broken": list(range(17)), "train.max_bad": 1, "train.log_every": 2}
    done = torchrun(2, "-m", "fusion", "train", *written(ALIKE | changes))
    assert done.returncode != 0
    assert done.stderr.count("error: 2 rows cannot be read, train.max_bad allows 1") == 1
    assert "Connection closed" not in done.stderr  # as a rank says that waits for one that has gone
    rows = [json.loads(line) for line in (tmp_path / "run" / "ledger.jsonl").read_text().splitlines()]
    assert len({row["row"] for row in rows}) == 2
    assert {row["source"] for row in rows} == {"heard"}


def test_an_error_that_only_the_second_rank_meets_is_told(torchrun: Any, written: Any) -> None:
    # as above: all sounds are on the second rank
    changes = {"sources.seen.weight": 1, "sources.heard.faulty": list(range(17)), "train.batch": 4}
    done = torchrun(2, "-m", "fusion", "train", *written(changes))
    assert done.returncode != 0
    assert re.search(
        r"error \(process 1\): source 'heard' failed at row \d+: RuntimeError\('the disk is on fire'\), "
        r"raised by __getitem__ in .*fusion_toy\.py:\d+",
        done.stderr,
    )


def test_running_statistics_that_were_measured_are_those_that_were_saved(
    torchrun: Any, written: Any, tmp_path: Path
) -> None:
    test = {"name": "toy", "view": ["image", "text", "audio"], "rows": 40}
    changes = ALIKE | {"encoders.audio": {"name": "toy-normed"}, "evaluate": {"sources": {"test": test}}}
    done = torchrun(2, "-m", "fusion", "train", *written(changes))
    assert done.returncode == 0, done.stderr
    again = torchrun(1, "-m", "fusion", "evaluate", str(tmp_path / "run"), "--json")
    measured = json.loads(again.stdout)
    trained = Run(tmp_path / "run").metrics
    keys = [key for key in measured if key.startswith(("retrieval/", "subsets/"))]
    assert len(keys) > 40
    assert {key: trained[key] for key in keys} == {key: measured[key] for key in keys}


def test_statistics_of_one_process_are_told(torchrun: Any, written: Any) -> None:
    changes = ALIKE | {"encoders.audio": {"name": "toy-normed"}, "train.batch": 6, "train.steps": 1}
    done = torchrun(2, "-m", "fusion", "train", *written(changes))
    assert done.returncode == 0, done.stderr
    said = (
        "encoders.audio: BatchNorm takes the statistics of 3 rows (those of one process), not of a batch of 6"
    )
    assert done.stderr.count(said) == 1


def test_a_batch_that_the_ranks_cannot_share_is_refused(torchrun: Any, written: Any, tmp_path: Path) -> None:
    done = torchrun(2, "-m", "fusion", "train", *written({"train.batch": 5}))
    assert done.returncode != 0
    assert "error: train.batch (5) must be divisible by the number of processes (2)" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_world_that_is_not_the_one_that_was_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # but nobody started a second process
    with pytest.raises(
        TrainingError, match=r"launched as 2 processes, but Accelerate runs 1; on a CPU launch with `torchrun"
    ):
        launch(recipe().train)


GATHER = """
import os, sys, torch
from torch import nn
import torch.distributed as dist
from safetensors.torch import save_file
from fusion.embeddings import Embeddings
from fusion.losses import Rows
from fusion.training.gather import gather

dist.init_process_group("gloo")
rank, ranks = dist.get_rank(), dist.get_world_size()
layers = nn.ModuleDict({name: nn.Linear(3, 2) for name in ("image", "text", "audio", "fused")})
for number, parameter in enumerate(layers.parameters()):
    nn.init.constant_(parameter, 0.1 * (number + 1))
x = torch.arange(24.0).reshape(8, 3).sin()[rank * 8 // ranks : (rank + 1) * 8 // ranks]
b = len(x)
place = torch.arange(rank * b, (rank + 1) * b)
made = {name: layer(x) for name, layer in layers.items()}
fused = made.pop("fused")
rows = gather(Rows(
    Embeddings(
        made,
        {"image": place < 5, "text": place % 2 == 0, "audio": place > 6},
        {}, {},
        {"image": place + 2**40, "text": -place, "audio": 0 * place},
        place,
    ),
    fused,
    {"label": place * 10, "value": torch.stack([place + 0.5, place * float("nan")], 1)},
))
assert rows.division == (rank, ranks)  # of the work on them
# a loss that mixes all rows
every = torch.cat([*rows.embeddings.pooled.values(), rows.fused], 1)
((every @ every.T).sin() * torch.linspace(-1, 1, 64).reshape(8, 8)).sum().backward()
for parameter in layers.parameters():  # as DistributedDataParallel does it
    dist.all_reduce(parameter.grad)
    parameter.grad /= ranks
flat = {f"grad/{name}": parameter.grad for name, parameter in layers.named_parameters()}
for field in ("pooled", "present", "content"):
    flat |= {f"{field}/{name}": value for name, value in getattr(rows.embeddings, field).items()}
flat |= {f"target/{name}": value for name, value in rows.targets.items()} | {"source": rows.embeddings.source}
flat |= {"fused": rows.fused}
flat = {name: value.detach().contiguous() for name, value in flat.items()}
save_file(flat, f"{sys.argv[1]}/{ranks}-{rank}")
dist.destroy_process_group()
"""


def test_gathered_rows_and_their_gradient_are_those_of_one_process(torchrun: Any, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(GATHER)
    for ranks in (1, 2):
        done = torchrun(ranks, str(script), str(tmp_path))
        assert done.returncode == 0, done.stderr
    alone, first, second = (load_file(tmp_path / name) for name in ("1-0", "2-0", "2-1"))
    assert alone["present/image"].tolist() == [True] * 5 + [False] * 3
    assert alone["content/image"].tolist() == [2**40 + place for place in range(8)]
    assert alone["grad/image.weight"].abs().max() > 0.01
    for name, value in alone.items():
        assert value.dtype == first[name].dtype
        for part in (first, second):
            torch.testing.assert_close(part[name], value, atol=1e-5, rtol=1e-5, equal_nan=True)
