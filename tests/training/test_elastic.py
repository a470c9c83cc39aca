"""Rows and weights are a matter of seed and step alone, on any number of processes and workers."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fusion import Registry, Run, train
from fusion.batch import Batch
from fusion.build import build_model
from fusion.data.loader import load
from fusion.picks import complete
from fusion.training import checkpoint
from fusion.training.steps import training_steps
from tests.training.toys import lines, recipe, weights, write

# no random layers, whose draws are those of a process; infinite sounds, and rows that cannot be read
CHANGES = {
    "sources": {
        "seen": {"name": "toy", "view": ["image", "text"], "weight": 3.7, "broken": [1, 6, 7]},
        "heard": {"name": "toy", "view": ["text", "audio"], "rows": 17, "weight": 1.1, "infinite": [4, 9]},
        "both": {"name": "toy", "view": ["image", "audio"], "rows": 9, "weight": 0.3, "broken": [2]},
    },
    "encoders": {name: {"name": f"toy-{name}", "dropout": 0.0} for name in ("image", "text", "audio")},
    "fuser": {"name": "gate", "modality_dropout": 0.3},
    "objectives": {
        "align": {"name": "contrastive", "hub": "text"},
        "kind": {"name": "groupdro", "classes": 3, "rate": 0.5},
        "value": {"name": "regress", "target": "value"},
    },
    "train": {"steps": 8, "batch": 8, "lr": 0.01, "log_every": 3, "checkpoint_every": 4, "keep": 2},
}


def flat(batch: Batch) -> dict[str, Tensor]:
    """Return all that a batch holds, by name."""
    named = batch._asdict()
    inputs = {f"{name}/{key}": value for name, some in batch.inputs.items() for key, value in some.items()}
    rows = {
        f"{part}/{name}": value
        for part in ("present", "shown", "targets", "content")
        for name, value in named[part].items()
    }
    return inputs | rows | {"source": batch.source, "row": batch.row}


@pytest.fixture(scope="module")
def read(registry: Registry) -> Callable[[int, int], list[tuple[dict[str, Tensor], set[Any]]]]:
    """Read the global batches of eight steps, and their bad rows, on so many ranks with so many workers."""
    made = complete(recipe(CHANGES | {"name": "toy"}), registry)
    model = build_model(made, registry)

    def read(ranks: int, workers: int) -> list[tuple[dict[str, Tensor], set[Any]]]:
        every = [
            list(load(training_steps(made, model, registry, rank, ranks), range(8), workers))
            for rank in range(ranks)
        ]
        found = []
        for loaded in zip(*every, strict=True):
            parts = [flat(part.batch) for part in loaded]
            names = {name for part in parts for name in part}
            joined = {name: torch.cat([part[name] for part in parts if name in part]) for name in names}
            found.append((joined, {row for part in loaded for row in part.bad}))
        return found

    return read


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_batch_of_a_step_is_the_same_to_the_bit(ranks: int, workers: int, read: Any) -> None:
    alone = read(1, 0)
    assert {int(source) for batch, _ in alone for source in batch["source"]} == {0, 1, 2}
    met = {(row.source, row.row) for _, bad in alone for row in bad}
    assert met >= {("seen", 1), ("seen", 6), ("seen", 7)}
    for (batch, bad), (expected, expected_bad) in zip(read(ranks, workers), alone, strict=True):
        assert batch.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.equal(batch[name].nan_to_num(7.5), value.nan_to_num(7.5)), name
        assert bad == expected_bad


def resumed(run: Run, out: Path) -> Path:
    """Copy what a run would have left if it had been killed after its fifth step."""
    shutil.copytree(run.folder, out)
    for name in ("manifest.json", "metrics.json", "model.safetensors", "report.html"):
        (out / name).unlink()
    shutil.rmtree(checkpoint.place(out / "checkpoints", 8))
    return out


@pytest.mark.slow
def test_a_training_goes_on_with_any_number_of_processes_and_ends_with_the_same_weights(
    registry: Registry, torchrun: Any, tmp_path: Path
) -> None:
    made = recipe(CHANGES)
    path = write(made, tmp_path / "toy.yaml")
    command = ("-m", "fusion", "train", str(path), "train.workers=2", "--out")
    done = torchrun(2, *command, str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    two = Run(tmp_path / "two")
    four = Run(resumed(two, tmp_path / "four"))
    done = torchrun(4, *command, str(four.folder), "--resume")
    assert done.returncode == 0, done.stderr
    again = train(two.recipe, resumed(two, tmp_path / "again"), resume=True, registry=registry)
    one = train(made, tmp_path / "one", registry=registry)

    expected, steps = weights(one), lines(one)
    left = [line["step"] for line in steps if "skipped" in line]
    assert [step for step in left if step <= 4]
    assert [step for step in left if step > 4]
    for run in (two, four, again):
        found = weights(run)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(
                found[name], value, atol=1e-5, rtol=0, msg=f"{run.folder.name}: {name}"
            )
        for line, alone in zip(lines(run), steps, strict=True):
            assert line.keys() == alone.keys()
            assert line.get("rows") == alone.get("rows")
            assert line.get("skipped") == alone.get("skipped")
            assert line["loss"] == pytest.approx(alone["loss"], abs=1e-5, nan_ok=True)
        for key in (
            "train/skipped_steps",
            "data/bad_rows",
            "train/rows/image+text",
            "train/rows/image+audio",
        ):
            assert run.metrics[key] == one.metrics[key]
    assert one.metrics["train/skipped_steps"] == len(left)
