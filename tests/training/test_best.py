"""The best checkpoint by a metric on rows that are held back is kept, and becomes the run."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from fusion import RecipeError, Registry, Run, train
from fusion.build import build_model
from fusion.evaluation.evaluate import evaluate
from fusion.training import checkpoint
from fusion.training.best import leading
from fusion.training.checkpoint import Checkpoint, all_in, save
from fusion.training.launch import launch
from tests.training.toys import lines, recipe, same, stop, weights, write

HELD = {"held": {"name": "toy", "rows": 12}}
BY = "subsets/image+text/accuracy"
EVERY = {"train.checkpoint_every": 2, "train.steps": 12, "train.lr": 0.05}


def best_by(key: str) -> dict[str, Any]:
    return {**EVERY, "best": {"by": key, "sources": HELD}}


@pytest.fixture(scope="module")
def every(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run without a choice that kept all its checkpoints."""
    return train(
        recipe({**EVERY, "train.keep": 10}), tmp_path_factory.mktemp("every") / "run", registry=registry
    )


@pytest.fixture(scope="module")
def scores(every: Run, registry: Registry) -> dict[int, dict[str, Any]]:
    """What is measured of each of its checkpoints."""
    made = recipe({"evaluate": {"sources": HELD}})
    accelerator = launch(made.train)
    model = build_model(made, registry)
    found = {}
    for path in all_in(every.checkpoints):
        kept = checkpoint.load(path)
        model.load_state_dict(kept.model)
        found[kept.step] = evaluate(model, made, registry, accelerator, {}).metrics
    return dict(sorted(found.items()))


def first_best(scores: dict[int, dict[str, Any]], key: str, sign: int = 1) -> int:
    return max(scores, key=lambda step: (sign * scores[step][key], -step))


@pytest.mark.parametrize(
    ("key", "sign"), [("subsets/image/entropy", 1), ("subsets/image/entropy", -1), (BY, 1)]
)
def test_the_best_by_a_metric_is_kept_beside_the_last_and_becomes_the_run(
    key: str, sign: int, every: Run, scores: dict[int, dict[str, Any]], registry: Registry, tmp_path: Path
) -> None:
    by = key if sign == 1 else f"-{key}"
    run = train(recipe(best_by(by)), tmp_path / "run", registry=registry)
    best = first_best(scores, key, sign)
    different = {round(score[key], 6) for score in scores.values()}
    assert len(different) == (1 if key == BY else 6)  # the accuracy is that of guessing all along: the first
    assert run.metrics["train/best_step"] == best
    assert run.metrics["train/best_score"] == pytest.approx(scores[best][key], abs=1e-6)
    assert lines(run) == lines(every)  # to be measured changes nothing
    written = [json.loads(line) for line in (run.folder / "scores.jsonl").read_text().splitlines()]
    assert {line["step"]: pytest.approx(line["score"], abs=1e-6) for line in written} == {
        step: score[key] for step, score in scores.items()
    }
    assert same(weights(run), checkpoint.load(checkpoint.place(every.checkpoints, best)).model)
    kept = sorted(int(path.name[5:]) for path in all_in(run.checkpoints))
    assert kept == sorted({best, 10, 12} | {first_best({s: scores[s] for s in scores if s <= 10}, key, sign)})


def test_a_stopped_training_knows_the_best_from_before(
    scores: dict[int, dict[str, Any]],
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = "subsets/image/entropy"
    sign = 1 if first_best(scores, key) < first_best(scores, key, -1) else -1
    early = first_best(scores, key, sign)
    made = recipe(best_by(key if sign == 1 else f"-{key}"))
    whole = train(made, tmp_path / "whole", registry=registry)
    assert whole.metrics["train/best_step"] == early
    stop(made, tmp_path / "run", 10, registry)
    copied = shutil.copytree(tmp_path / "run", tmp_path / "damaged")
    run = train(made, tmp_path / "run", resume=True, registry=registry)
    assert same(weights(run), weights(whole))
    assert run.metrics["train/best_step"] == early

    (checkpoint.place(copied / "checkpoints", early) / "state.json").unlink()
    later = train(made, copied, resume=True, registry=registry)
    told = capsys.readouterr().err
    assert f"step-{early:08d}, the best so far, is damaged; the best of the others is taken" in told
    assert (
        later.metrics["train/best_step"] == 10
    )  # of those that are there: 10, 11, which is not measured, and 12

    (whole.folder / "manifest.json").unlink()
    written = (whole.folder / "scores.jsonl").read_text().splitlines(keepends=True)
    (whole.folder / "scores.jsonl").write_text("".join(written[:-1]))  # as if stopped while it was measured
    again = train(made, whole.folder, resume=True, registry=registry)
    assert (again.folder / "scores.jsonl").read_text() == "".join(written)
    assert same(weights(again), weights(run))


def test_what_is_no_metric_is_told_before_the_first_step(registry: Registry, tmp_path: Path) -> None:
    wrong = recipe(best_by("subsets/image+text/acuracy"))
    with pytest.raises(
        RecipeError,
        match=r"^recipe: best\.by: unknown metric 'subsets/image\+text/acuracy'; did you mean "
        r"'subsets/image\+text/accuracy'\? known: ",
    ):
        train(wrong, tmp_path / "run", registry=registry)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    odd = recipe(best_by("retrieval/image->audio/emergent"))
    with pytest.raises(RecipeError, match=r"emergent is None; name a metric that is a number"):
        train(odd, tmp_path / "odd", registry=registry)


@pytest.mark.parametrize("given", [{"by": BY}, {"sources": HELD}])
def test_a_metric_needs_rows_and_rows_a_metric(given: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"best: .*give both `by`, a key of metrics\.json, and `sources`"):
        recipe({"best": given})


def test_rows_that_are_reported_on_as_well_are_told(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = recipe({**best_by(BY), "train.steps": 2, "evaluate": {"sources": {"test": HELD["held"]}}})
    train(made, tmp_path / "run", registry=registry)
    told = "warning: best.sources.held has the rows of evaluate.sources.test: what is reported was chosen on"
    assert told in capsys.readouterr().err


def test_the_best_is_the_first_of_equals_and_none_that_is_not_a_number() -> None:
    scores = {2: math.nan, 4: 0.3, 6: 0.5, 8: 0.5, 10: 0.1}
    assert [leading(scores, 1, until) for until in (2, 5, 6, 8, 12)] == [None, 4, 6, 6, 6]
    assert [leading(scores, -1, until) for until in (2, 5, 6, 8, 12)] == [None, 4, 4, 4, 10]


def test_checkpoints_that_are_kept_keep_what_they_know_as_the_best(tmp_path: Path) -> None:
    known: dict[int, int] = {}

    def at(step: int, best: int) -> list[int]:
        known[step] = best
        save(tmp_path, Checkpoint(step, {"w": torch.ones(1)}, {}, {}), keep=2, best=known.get)
        return sorted(int(path.name[5:]) for path in all_in(tmp_path))

    assert at(1, 1) == [1]
    assert at(2, 1) == at(2, 1) == [1, 2]
    assert at(3, 1) == [1, 2, 3]
    assert at(4, 4) == [1, 3, 4]  # if 4 turns out to be damaged, 3 goes on, and knows 1
    assert at(5, 4) == [4, 5]


@pytest.mark.slow
def test_two_processes_choose_what_the_first_has_measured(torchrun: Any, tmp_path: Path) -> None:
    given, out = tmp_path / "toy.yaml", tmp_path / "run"
    write(recipe(best_by("-subsets/image/entropy")), given)
    done = torchrun(2, "-m", "fusion", "train", str(given), "--out", str(out))
    assert done.returncode == 0, done.stderr
    run = Run(out)
    told = [line for line in done.stderr.splitlines() if "subsets/image/entropy" in line]
    assert len(told) == 6
    assert told[-1].endswith(f", the best is that of step {run.metrics['train/best_step']}")
    best = checkpoint.load(checkpoint.place(run.checkpoints, run.metrics["train/best_step"]))
    assert same(weights(run), best.model)
