"""The batch that is found by trying: as large as memory and sources allow, and the same for all."""

import re
import time
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest
import torch

from fusion import Embeddings, Registry, Run, RunError, TrainingError, train
from fusion.losses import Rows
from fusion.training.dry_run import dry_run
from fusion.training.fit import _repeated, fit
from fusion.training.memory import LOOK, peak, used
from fusion.transfer.labelled import labelled
from tests.training.toys import STILL, lines, recipe, same, stop, weights, write

CPU = torch.device("cpu")
# a row of these takes about 2 MB of a step
WIDE: dict[str, Any] = {
    "sources": {"all": {"name": "toy", "rows": 3000}},
    "encoders": {name: {"name": f"toy-{name}", "dim": 20_000} for name in ("image", "text", "audio")},
}
AUTO = {"train.batch": "auto"}


def test_what_is_held_for_a_while_is_seen() -> None:
    before = used(CPU)
    # from the system itself: what was freed before could serve an allocation, and nothing would rise
    with peak(CPU) as most, mmap(-1, 100_000_000) as held:
        torch.frombuffer(held, dtype=torch.uint8).fill_(1)
        while most[0] - before < 90e6:  # the thread that looks may come late, and comes
            time.sleep(LOOK)
    assert 90e6 < most[0] - before < 200e6


def test_the_batch_grows_with_the_memory(registry: Registry) -> None:
    batches = []
    for more in (0.15, 0.6):
        wanted = recipe(WIDE | AUTO | {"train.memory_gb": used(CPU) / 1e9 + more})
        found = fit(wanted, registry, CPU)
        batches.append(found.batch)
        pattern = (
            rf"train\.batch {found.batch}, found by trying: these rows take about ([\d.]+) of ([\d.]+) GB "
            rf"\({2 * found.batch} take ([\d.]+) GB\); train\.lr stays 0\.01"
        )
        told = re.fullmatch(pattern, found.told or "")
        assert told is not None, found.told
        fits, limit, beyond = map(float, told.groups())
        assert fits <= limit <= beyond
    assert 8 <= batches[0] < batches[1] <= 1024
    assert all(batch & (batch - 1) == 0 for batch in batches)


def test_a_source_that_is_too_small_ends_the_search(registry: Registry) -> None:
    found = fit(recipe(AUTO), registry, CPU)  # 24 rows weigh 2, 17 weigh 1
    assert found.batch == 32
    assert "(source 'seen' has 24 rows, but a batch of 64 takes 43 of it; " in (found.told or "")


def test_fewer_than_eight_rows_are_tried_too(registry: Registry) -> None:
    assert fit(recipe(AUTO | {"sources": {"all": {"name": "toy", "rows": 5}}}), registry, CPU).batch == 4


def test_no_batch_fits_into_no_memory(registry: Registry) -> None:
    with pytest.raises(TrainingError, match=r"no train\.batch fits: 1 take [\d.]+ GB; give more"):
        fit(recipe(AUTO | {"train.memory_gb": 0.001}), registry, CPU)


def test_a_model_that_is_too_large_for_any_batch_says_so(registry: Registry) -> None:
    changes = {"encoders.audio": {"name": "toy-hungry"}, "sources": {"all": {"name": "toy"}}}
    with pytest.raises(TrainingError, match=r"no train\.batch fits: 1 do not fit into the device's memory"):
        fit(recipe(AUTO | changes), registry, CPU)


def test_the_losses_of_a_trial_see_as_many_rows_as_there_are_on_all_ranks() -> None:
    flags = torch.tensor([True, False])
    numbers = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    embeddings = Embeddings(
        {"image": numbers}, {"image": flags}, {}, {}, {"image": flags.long()}, flags.long()
    )
    rows = _repeated(Rows(embeddings, numbers + 1, {"label": flags.long()}), 3)
    assert rows.embeddings.pooled["image"].tolist() == [[1, 2], [3, 4]] * 3
    assert rows.fused.tolist() == [[2, 3], [4, 5]] * 3
    assert rows.embeddings.present["image"].tolist() == [True, False] * 3
    for few in (rows.embeddings.content["image"], rows.embeddings.source, rows.targets["label"]):
        assert few.tolist() == [1, 0] * 3
    assert rows.fused.requires_grad


# a training


@pytest.fixture(scope="module")
def found(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose batch was found."""
    return train(recipe(AUTO), tmp_path_factory.mktemp("runs") / "found", registry=registry)


def test_the_batch_is_in_the_recipe_of_the_run(found: Run, registry: Registry, tmp_path: Path) -> None:
    assert found.recipe.train.batch == 32
    again = train(recipe({"train.batch": 32}), tmp_path / "run", registry=registry)
    assert lines(again) == lines(found)
    assert same(weights(again), weights(found))


def test_a_training_that_goes_on_keeps_its_batch(
    found: Run, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop(recipe(AUTO), tmp_path / "run", 3, registry)
    assert capsys.readouterr().err.count("train.batch 32, found by trying") == 1
    changes = {"train.memory_gb": 0.001, "encoders.image.tune": {"recompute": True}}  # no batch would fit
    resumed = train(recipe(AUTO | changes), tmp_path / "run", resume=True, registry=registry)
    assert "found by trying" not in capsys.readouterr().err
    assert resumed.recipe.train.batch == 32
    assert lines(resumed) == lines(found)


def test_a_folder_that_is_taken_is_told_before_anything_is_tried(found: Run, registry: Registry) -> None:
    with pytest.raises(RunError, match="exists; continue it with --resume"):
        train(recipe(AUTO | {"train.memory_gb": 0.001}), found.folder, registry=registry)


def test_one_process_decides_and_both_train_with_its_batch(
    torchrun: Any, tmp_path: Path, registry: Registry
) -> None:
    path, out = tmp_path / "toy.yaml", tmp_path / "run"
    write(recipe(STILL | AUTO), path)
    done = torchrun(2, "-m", "fusion", "train", str(path), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("train.batch 32, found by trying: these rows, 16 for each process, take") == 1
    assert Run(out).recipe.train.batch == 32
    one = train(recipe(STILL | {"train.batch": 32}), tmp_path / "one", registry=registry)
    for ours, theirs in zip(lines(Run(out)), lines(one), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
    refused = torchrun(
        2, "-m", "fusion", "train", str(path), "--out", str(tmp_path / "two"), "train.memory_gb=0.001"
    )
    assert refused.returncode != 0
    assert refused.stderr.count("error: no train.batch fits: 2 take") == 1
    assert "Connection closed" not in refused.stderr


# other commands


def test_a_dry_run_finds_a_batch_and_takes_micro_batches(registry: Registry) -> None:
    found = dry_run(recipe(AUTO), registry)
    assert sum(share.in_batch for share in found.sources.values()) == 32
    assert found.batch is not None
    assert found.batch.startswith("train.batch 32, found by trying")
    plain, cut = (dry_run(recipe(STILL | {"train.micro_batch": micro}), registry) for micro in (None, 2))
    assert plain.batch is None
    assert cut.losses == pytest.approx(plain.losses, abs=1e-5)
    assert cut.present == plain.present


def test_labelled_rows_are_the_same_whatever_the_batch(registry: Registry) -> None:
    given, auto = (labelled(recipe(batch), registry, CPU, 30).rows for batch in ({}, AUTO))
    assert given.keys() == auto.keys()
    for name, rows in given.items():
        assert sorted(rows.labels.tolist()) == sorted(auto[name].labels.tolist())
