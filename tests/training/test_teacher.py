"""A training that learns from an earlier run: what is computed, once, kept, and found again."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusion import Choices, DataError, Recipe, RecipeError, Registry, Run, RunError, load, train
from fusion.batch import Target
from fusion.build import build_model, build_sources
from fusion.cache.arrays import Joined
from fusion.cache.entry import Entry
from fusion.cache.folder import Folder
from fusion.cache.kept import HeldTargets
from fusion.cache.parts import Part
from fusion.picks import complete, shrink
from fusion.training.dry_run import dry_run
from fusion.training.launch import launch
from fusion.training.steps import training_steps
from fusion.training.teach import teach
from fusion.transfer.outputs import Taught
from fusion.transfer.teacher import open_teacher
from tests.training.toys import lines, recipe, same, weights, write

Make = Callable[..., Recipe]

# the student hears, the teacher sees and reads: in `mute` there is nothing for it
STUDENT = {
    "train.batch": 12,
    "encoders": {"audio": {"name": "toy-audio", "dropout": 0.0}},
    "augment": {"audio": [{"name": "toy-noise"}]},
    "fuser": {"name": "mean"},
    "sources": {
        "paired": {"name": "toy", "rows": 24},
        "heard": {"name": "toy", "view": ["text", "audio"], "rows": 17},
        "mute": {"name": "toy", "view": ["audio"], "rows": 8},
    },
    "objectives": {
        "near": {"name": "distill"},
        "like": {"name": "distill-relations", "target": "teacher/vectors/image"},
        "kind": {"name": "distill-labels", "classes": 3, "soft": "teacher/tasks/kind"},
    },
}


@pytest.fixture(scope="module")
def earlier(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    changes = {
        "encoders": {name: {"name": f"toy-{name}"} for name in ("image", "text")},
        "augment": {},
        "sources": {"seen": {"name": "toy", "view": ["image", "text"]}},
        "objectives": {"kind": {"name": "classify", "classes": 3}, "align": {"name": "contrastive"}},
    }
    return train(recipe(changes), tmp_path_factory.mktemp("earlier") / "run", registry=registry)


@pytest.fixture
def taught(earlier: Run) -> Make:
    """Build the recipe of a student of the earlier run."""

    def build(changes: dict[str, Any] | None = None) -> Recipe:
        return recipe({"teacher": str(earlier.folder), **STUDENT, **(changes or {})})

    return build


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without anything in it."""
    monkeypatch.setenv("FUSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entry_of(run: Run, source: str) -> Entry:
    """Return the entry of the cache that has the outputs for a source; the sources differ in their length."""
    size = run.recipe.sources[source].options["rows"]
    [found] = [one for one in Folder.found() if one.record["key"]["source"]["size"] == size]
    assert "teacher" in found.record["key"]
    return found


def kept(run: Run, source: str, output: str) -> np.ndarray[Any, Any]:
    entry = entry_of(run, source)
    names = [name for name, _ in entry.record["key"]["outputs"]]
    return Joined(entry.parts(f"target{names.index(f'teacher/{output}')}")).whole()


def test_a_student_learns_the_same_in_micro_batches(taught: Make, registry: Registry, tmp_path: Path) -> None:
    one = train(taught(), tmp_path / "one", registry=registry)
    run = train(taught({"train.micro_batch": 5}), tmp_path / "run", registry=registry)
    for ours, theirs in zip(lines(run), lines(one), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    wanted = complete(taught({"train.micro_batch": 5}), registry)
    model = build_model(wanted, registry)
    steps = training_steps(wanted, model, registry)
    teacher = open_teacher(wanted, model, registry)
    assert teacher is not None
    steps, _ = teach(teacher, steps, wanted, registry, launch(wanted.train))
    assert [len(part.row) for part in steps[0].batch.parts] == [5, 5, 2]


def test_the_outputs_are_those_of_the_loaded_run_row_by_row(
    taught: Make, earlier: Run, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(taught({"train.steps": 12}), tmp_path / "run", registry=registry)
    teacher = load(earlier, registry=registry)
    sources = build_sources(run.recipe.sources, registry)
    for name in ("paired", "heard"):
        rows = [
            {key: row[key] for key in ("image", "text") if key in row}
            for row in map(sources[name].__getitem__, range(len(sources[name])))
        ]
        encoded, answer = teacher.encode(rows), teacher.predict(rows)["kind"]
        np.testing.assert_allclose(kept(run, name, "fused"), encoded.fused, atol=1e-6)
        np.testing.assert_allclose(kept(run, name, "tasks/kind"), answer.score, atol=1e-6)
        image = np.where(encoded.present["image"][:, None], encoded.vectors["image"], np.nan)
        np.testing.assert_allclose(kept(run, name, "vectors/image"), image, atol=1e-6)
    assert np.isnan(kept(run, "heard", "vectors/image")).all()
    assert np.isnan(kept(run, "mute", "fused")).all()
    assert run.manifest["teacher"] == {
        "teacher": str(earlier.folder),
        "sha256": earlier.manifest["files"]["model.safetensors"],
        "rows": {"paired": 24, "heard": 17, "mute": 0},
    }
    said = capsys.readouterr().err
    assert "teacher of paired: 24 rows are computed once" in said
    assert f"teacher {earlier.folder}: outputs for 41 of 49 rows" in said


def test_the_student_learns_what_the_teacher_gives(taught: Make, registry: Registry, tmp_path: Path) -> None:
    run = train(taught({"train.steps": 12}), tmp_path / "run", registry=registry)
    assert all(lines(run)[0][f"loss/{name}"] > 0.01 for name in ("near", "like", "kind"))
    without = train(
        taught({"train.steps": 12, "objectives.near.weight": 0}), tmp_path / "2", registry=registry
    )
    assert lines(without)[-1]["loss/near"] > 1.2 * lines(run)[-1]["loss/near"]  # it is learned


def test_only_the_rows_that_the_training_reads_are_computed(
    taught: Make, earlier: Run, registry: Registry, tmp_path: Path
) -> None:
    run = train(taught({"train.steps": 1}), tmp_path / "run", registry=registry)
    assert [len(kept(run, name, "fused")) for name in ("paired", "heard", "mute")] == [4, 4, 4]
    assert run.manifest["teacher"]["rows"] == {"paired": 4, "heard": 4, "mute": 0}


def test_a_resumed_training_takes_what_is_there_and_ends_bit_for_bit_as_if_it_had_not_stopped(
    taught: Make, registry: Registry, tmp_path: Path, python: Any, cache: Path
) -> None:
    changes = {"train.steps": 6}
    path = write(taught(changes), tmp_path / "toy.yaml")
    arguments = ("-m", "fusion", "train", str(path), "--out", str(tmp_path / "run"))
    assert "stopped after step" in python(*arguments, TOY_SIGNAL="2@3").stderr
    files = sorted(cache.rglob("*.npy"))
    before = [(file.stat().st_mtime_ns, file.stat().st_ino) for file in files]
    assert len(files) == 9
    done = python(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert "computed once" not in done.stderr
    assert sorted(cache.rglob("*.npy")) == files
    assert [(file.stat().st_mtime_ns, file.stat().st_ino) for file in files] == before
    whole = train(taught(changes), tmp_path / "whole", registry=registry)
    assert same(weights(whole), weights(Run(tmp_path / "run")))


def test_another_student_takes_what_the_teacher_gave_and_another_teacher_gives_its_own(
    taught: Make,
    earlier: Run,
    registry: Registry,
    tmp_path: Path,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = {"train.steps": 12}
    train(taught(changes), tmp_path / "first", registry=registry)
    assert len(list(cache.iterdir())) == 3
    capsys.readouterr()
    train(taught({**changes, "train.seed": 1, "train.lr": 0.02}), tmp_path / "second", registry=registry)
    assert "computed once" not in capsys.readouterr().err
    other = Recipe(**earlier.recipe.model_dump() | {"train": {"steps": 1, "batch": 6}})
    train(other, tmp_path / "other", registry=registry)
    train(taught({**changes, "teacher": str(tmp_path / "other")}), tmp_path / "third", registry=registry)
    assert len(list(cache.iterdir())) == 6


@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_what_is_damaged_is_told_and_computed_anew(
    harm: str, taught: Make, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(taught({"train.steps": 4}), tmp_path / "run", registry=registry)
    file = entry_of(run, "paired").folder / "target0-0.npy"
    right = file.read_bytes()
    if harm == "flipped":
        file.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    else:
        file.unlink()
    capsys.readouterr()
    train(taught({"train.steps": 4}), tmp_path / "again", registry=registry)
    said = capsys.readouterr().err
    assert f"teacher of paired: {file.parent} is damaged: " in said
    assert said.count("computed anew") == 1
    assert file.read_bytes() == right


def test_without_room_there_is_no_teaching(
    taught: Make, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSION_CACHE_LIMIT", "100 B")
    with pytest.raises(
        RunError, match=r"cannot keep the outputs of the teacher: it needs .*FUSION_CACHE_LIMIT"
    ):
        train(taught(), tmp_path / "run", registry=registry)


def test_two_processes_compute_and_train_what_one_does(
    taught: Make, registry: Registry, torchrun: Any, tmp_path: Path, cache: Path
) -> None:
    changes = {"train.steps": 12, "evaluate": {"batch": 5}}
    path = write(taught(changes), tmp_path / "toy.yaml")
    done = torchrun(2, "-m", "fusion", "train", str(path), "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(": outputs for 41 of 49 rows") == 1
    two = Run(tmp_path / "two")
    outputs = [(source, output) for source in two.recipe.sources for output in ("fused", "vectors/image")]
    together = [kept(two, *output) for output in outputs]
    assert len(entry_of(two, "paired").parts("target0")) == 2
    shutil.rmtree(cache)
    one = train(taught(changes), tmp_path / "one", registry=registry)
    for both, output in zip(together, outputs, strict=True):
        np.testing.assert_array_equal(both, kept(one, *output))
    for alone, shared in zip(lines(one), lines(two), strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], abs=1e-5)


def test_a_run_is_loaded_and_evaluated_when_its_teacher_is_gone(
    taught: Make, earlier: Run, registry: Registry, tmp_path: Path, cache: Path
) -> None:
    shutil.copytree(earlier.folder, tmp_path / "earlier")
    test = {"sources": {"test": {"name": "toy", "view": ["audio"]}}}
    made = taught({"teacher": str(tmp_path / "earlier"), "evaluate": test})
    run = train(made, tmp_path / "run", registry=registry)
    shutil.rmtree(tmp_path / "earlier")
    shutil.rmtree(cache)
    assert load(run, registry=registry).predict({"audio": [1, 2, 3, 4]})["kind"].score.shape == (1, 3)
    assert run.metrics["subsets/audio/rows"] == 24


def test_rows_that_the_teacher_cannot_read_are_without_outputs_and_no_bad_rows(
    taught: Make, registry: Registry, tmp_path: Path
) -> None:
    paired = {"name": "toy", "view": ["audio", "text", "image"], "rows": 12, "broken": [3]}
    run = train(taught({"sources": {"paired": paired}}), tmp_path / "run", registry=registry)
    assert np.isnan(kept(run, "paired", "fused")).all(axis=1).tolist() == [row == 3 for row in range(12)]
    assert run.metrics["data/bad_rows"] == 0


def test_a_dry_run_says_what_it_takes_and_has_the_losses(taught: Make, registry: Registry) -> None:
    found = dry_run(complete(taught({"train.steps": 100}), registry), registry)
    assert found.teacher is not None
    assert found.teacher.rows == 49
    assert found.teacher.disk_mb == 49 * (8 + 8 + 3) * 4 / 1e6
    assert found.losses["near"] > 0.01


def test_a_tiny_training_keeps_its_teacher(taught: Make, registry: Registry, tmp_path: Path) -> None:
    run = train(shrink(complete(taught(), registry), registry), tmp_path / "run", registry=registry)
    assert run.manifest["teacher"]["rows"]["paired"] > 0


def test_a_taught_source_gives_of_choices_the_outputs_of_the_first_and_is_pickled_small(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path / "cache", 10**9)
    stage = folder.stage("a")
    part = Part(stage.folder, 0)
    part.append("target0", np.arange(2000.0, dtype=np.float32).reshape(4, 500))
    stage.finish("a", {}, 4, part.close())
    rows = [{"text": Choices([f"{number}"])} for number in range(9)]
    target = Target(torch.float32, (500,))
    held = HeldTargets(folder.entry("a"), np.array([1, 4, 5, 8]), 9, {"teacher/fused": target})
    source = Taught(rows, held)
    assert [sorted(source[number]) for number in (0, 3, 7)] == [["text"]] * 3
    assert source[5]["teacher/fused"][0] == 1000
    copied = pickle.dumps(source)
    assert len(copied) < 2000
    assert pickle.loads(copied)[8]["teacher/fused"][-1] == 1999
    assert len(source) == 9
    assert held.known == 4


# what is refused


def test_what_the_teacher_cannot_give_is_refused_with_what_it_has(
    taught: Make, earlier: Run, registry: Registry, tmp_path: Path
) -> None:
    for objective, message in {
        "distill:target=teacher/vectors/audio": r"objectives\.near: unknown output of the teacher "
        r"'teacher/vectors/audio'.* known: teacher/fused, teacher/tasks/kind, teacher/vectors/image, ",
        "distill:dim=5": r"reads 'teacher/fused' as \(5,\), and the teacher gives \(8,\); set its `dim` or",
        "classify:classes=3": r"teacher: no objective reads an output of .*; it gives teacher/fused \(8,\), ",
    }.items():
        name, _, option = objective.partition(":")
        key, _, value = option.partition("=")
        picked = {"name": name, key: int(value) if value.isdigit() else value}
        with pytest.raises(RecipeError, match=message):
            train(taught({"objectives": {"near": picked}}), tmp_path / "run", registry=registry)
    with pytest.raises(RecipeError, match=r"objectives\.near: reads 'teacher/fused', which an earlier run"):
        train(taught({"teacher": None}), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_is_no_finished_run_is_refused(
    taught: Make, earlier: Run, registry: Registry, tmp_path: Path
) -> None:
    copied = tmp_path / "earlier"
    shutil.copytree(earlier.folder, copied)
    os.truncate(copied / "model.safetensors", 100)
    made = taught({"teacher": str(copied)})
    with pytest.raises(RunError, match=r"teacher: .*model\.safetensors is missing or damaged"):
        train(made, tmp_path / "run", registry=registry)
    (copied / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"teacher: .*has no manifest\.json: the run is not finished"):
        train(made, tmp_path / "run", registry=registry)
    with pytest.raises(RunError, match=r"teacher: .* is not a run: it has no recipe\.yaml"):
        train(taught({"teacher": str(tmp_path)}), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


def test_streams_and_rows_without_anything_for_the_teacher_are_refused(
    taught: Make, registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(
        DataError, match=r"sources\.all is a stream, of whose rows a teacher's outputs cannot"
    ):
        train(taught({"sources": {"all": {"name": "toy-stream"}}}), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()
    mute = {"mute": {"name": "toy", "view": ["audio"]}}
    with pytest.raises(DataError, match=r"teacher: no row that is read has any of image, text"):
        train(taught({"sources": mute}), tmp_path / "run", registry=registry)


def test_an_entry_says_of_what_its_outputs_are(
    taught: Make, earlier: Run, registry: Registry, tmp_path: Path
) -> None:
    run = train(taught({"train.steps": 12}), tmp_path / "run", registry=registry)
    key = entry_of(run, "heard").record["key"]
    assert key["teacher"]["files"] == earlier.manifest["files"]
    assert key["teacher"]["made"]["encoders"].keys() == {"image", "text"}
    assert key["outputs"] == [
        ["teacher/fused", [8]],
        ["teacher/vectors/image", [8]],
        ["teacher/tasks/kind", [3]],
    ]
    assert key["source"]["options"]["view"] == ["text", "audio"]
