"""Training: the same numbers for the same seed, also after an interruption, and refusals in words."""

import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from fusion import (
    DataError,
    Model,
    Recipe,
    RecipeError,
    Registry,
    Run,
    RunError,
    TrainingError,
    hookimpl,
    read_recipe,
    train,
)
from fusion.build import build_model
from fusion.errors import Stopped
from fusion.files import alone
from fusion.picks import complete
from fusion.recipe.schema import Train
from fusion.training import checkpoint, loop
from fusion.training.optimizer import learning_rate, optimizer
from tests.training.toys import lines, recipe, same, weights, write


def initial(recipe: Recipe, registry: Registry) -> Model:
    torch.manual_seed(recipe.train.seed)
    return build_model(recipe, registry)


@pytest.fixture(scope="module")
def whole(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was never interrupted."""
    return train(recipe(), tmp_path_factory.mktemp("runs") / "whole", registry=registry)


# the same seed


def test_the_same_seed_gives_the_same_numbers_to_the_bit(
    whole: Run, registry: Registry, tmp_path: Path
) -> None:
    torch.manual_seed(99)  # whatever was drawn before
    again = train(recipe(), tmp_path / "run", registry=registry)
    assert lines(again) == lines(whole)
    assert same(weights(again), weights(whole))


def test_another_seed_gives_other_numbers(whole: Run, registry: Registry, tmp_path: Path) -> None:
    other = train(recipe({"train.seed": 1}), tmp_path / "run", registry=registry)
    assert all(one["loss"] != two["loss"] for one, two in zip(lines(other), lines(whole), strict=True))


def test_workers_and_checkpoints_change_no_number(whole: Run, registry: Registry, tmp_path: Path) -> None:
    changes = {"train.workers": 2, "train.checkpoint_every": 3, "train.log_every": 4}
    run = train(recipe(changes), tmp_path / "run", registry=registry)
    assert lines(run) == lines(whole)
    assert same(weights(run), weights(whole))


def test_every_step_is_written_with_its_parts(whole: Run) -> None:
    written = lines(whole)
    assert [line["step"] for line in written] == [1, 2, 3, 4, 5, 6, 7, 8]
    for line in written:
        assert list(line) == ["step", "loss", "loss/align", "loss/kind", "grad_norm", "lr"]
        assert line["loss"] == pytest.approx(line["loss/align"] + line["loss/kind"], rel=1e-6)


def test_a_run_counts_its_rows_by_presence(whole: Run) -> None:
    assert not (whole.folder / "ledger.jsonl").exists()  # none is bad
    metrics = whole.metrics
    assert metrics["train/rows/image+text"] == 32  # two thirds of 8 steps of 6 rows
    assert metrics["train/rows/text+audio"] == 16
    assert metrics["data/bad_rows"] == 0
    assert metrics["parameters/encoders.image"] == 4 * 4 + 4


def test_a_training_learns(registry: Registry, tmp_path: Path) -> None:
    run = train(recipe({"train.steps": 60}), tmp_path / "run", registry=registry)
    losses = [line["loss/kind"] for line in lines(run)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


# interruption


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Stopped)])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    number: signal.Signals,
    kind: type[KeyboardInterrupt],
    whole: Run,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    before = signal.getsignal(number)
    monkeypatch.setenv("TOY_SIGNAL", f"{int(number)}@4")  # comes while step 4 is written down
    with pytest.raises(kind, match=f"stopped after step 5; go on with --resume --out {out}") as ended:
        train(recipe(), out, registry=registry)
    assert ended.type is kind
    assert signal.getsignal(number) is before
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-00000005"]
    assert [line["step"] for line in lines(Run(out))] == [1, 2, 3, 4, 5]
    assert not Run(out).finished

    monkeypatch.delenv("TOY_SIGNAL")
    torch.manual_seed(99)
    resumed = train(recipe(), out, resume=True, registry=registry)
    assert resumed.finished
    assert lines(resumed) == lines(whole)
    assert same(weights(resumed), weights(whole))
    for key in ("train/rows/image+text", "train/rows/text+audio"):
        assert resumed.metrics[key] == whole.metrics[key]


@pytest.fixture(scope="module")
def killed(python: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed after step 7, when the checkpoint of step 3 was whole, and that of 6 perhaps."""
    folder = tmp_path_factory.mktemp("killed")
    given, out = folder / "toy.yaml", folder / "run"
    write(recipe({"train.checkpoint_every": 3}), given)
    done = python("-m", "fusion", "train", str(given), "--out", str(out), TOY_SIGNAL="9@7")
    assert done.returncode == -signal.SIGKILL, done.stderr
    return out


@pytest.mark.parametrize("torn", ["", '{"step": 8, "los', '{"step": 8, "loss": 0.1}'])
def test_a_killed_training_goes_on_from_its_newest_checkpoint(
    torn: str, killed: Path, whole: Run, registry: Registry, tmp_path: Path
) -> None:
    out = shutil.copytree(killed, tmp_path / "run")
    made = recipe({"train.checkpoint_every": 3})
    assert [line["step"] for line in lines(Run(out))] == [1, 2, 3, 4, 5, 6, 7]
    assert (out / "checkpoints" / "step-00000003").is_dir()
    with (out / "metrics.jsonl").open("a") as file:
        file.write(torn)
    (out / "checkpoints" / ".step-00000006.partial").mkdir(exist_ok=True)

    resumed = train(complete(made, registry), out, resume=True, registry=registry)
    assert lines(resumed) == lines(whole)
    assert same(weights(resumed), weights(whole))


def test_a_training_without_a_checkpoint_starts_again(whole: Run, registry: Registry, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = train(recipe(), out, registry=registry)
    for name in ("manifest.json", "metrics.json"):
        (out / name).unlink()
    [step] = (out / "checkpoints").iterdir()
    (step / "state.json").write_text("{}")  # the only checkpoint is damaged
    train(recipe(), out, resume=True, registry=registry)
    assert lines(run) == lines(whole)
    assert same(weights(run), weights(whole))


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(
    whole: Run, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, out = recipe({"train.checkpoint_every": 4}), tmp_path / "run"
    run = train(made, out, registry=registry)
    (out / "manifest.json").unlink()
    newest = out / "checkpoints" / "step-00000008" / "model.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    train(made, out, resume=True, registry=registry)
    said = capsys.readouterr().err
    assert "step-00000008 is damaged: model.safetensors; taking the one before" in said
    assert lines(run) == lines(whole)
    assert same(weights(run), weights(whole))


def test_a_training_that_was_stopped_in_its_evaluation_is_finished_by_resume(
    whole: Run, registry: Registry, tmp_path: Path
) -> None:
    run = train(recipe(), tmp_path / "run", registry=registry)
    (run.folder / "manifest.json").unlink()
    run.model_file.unlink()
    resumed = train(recipe(), run.folder, resume=True, registry=registry)
    assert resumed.finished
    assert same(weights(resumed), weights(whole))


@pytest.mark.parametrize("batch", [6, "auto"])
def test_a_kill_between_manifest_and_page_leaves_the_page_to_resume(
    batch: Any, whole: Run, registry: Registry, tmp_path: Path
) -> None:
    out = shutil.copytree(whole.folder, tmp_path / whole.folder.name)  # which the page has
    page = Run(out).report.read_bytes()
    Run(out).report.unlink()
    with pytest.raises(RunError, match=r"started with another recipe; these keys differ: train\.seed"):
        train(recipe({"train.seed": 1}), out, resume=True, registry=registry)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    run = train(recipe({"train.batch": batch}), out, resume=True, registry=registry)
    assert run.report.read_bytes() == page
    run.report.unlink()
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_what_a_kill_in_the_last_deletion_has_left_is_cleared_by_resume(
    whole: Run, registry: Registry, tmp_path: Path
) -> None:
    out = shutil.copytree(whole.folder, tmp_path / "run")
    (out / "manifest.json").unlink()
    half = out / "checkpoints" / ".step-00000004.gone"
    half.mkdir()
    (half / "state.json").write_text("{}")
    run = train(recipe(), out, resume=True, registry=registry)
    assert run.finished
    assert not half.exists()


def test_a_kill_between_evaluation_and_manifest_changes_no_count_of_bad_rows(
    registry: Registry, tmp_path: Path
) -> None:
    test = {"test": {"name": "toy", "rows": 9, "broken": [5]}}
    made = recipe({"sources.seen.broken": [1, 2], "evaluate": {"sources": test}})
    run = train(made, tmp_path / "run", registry=registry)
    ledger = (run.folder / "ledger.jsonl").read_text()
    assert [json.loads(line)["source"] for line in ledger.splitlines()] == ["seen", "seen", "evaluate/test"]
    (run.folder / "manifest.json").unlink()
    resumed = train(made, run.folder, resume=True, registry=registry)
    assert resumed.metrics["data/bad_rows"] == 2
    assert (run.folder / "ledger.jsonl").read_text() == ledger


def test_what_the_manifest_lists_is_on_the_disk_before_it(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: written.append(os.readlink(f"/proc/self/fd/{file}")) or fsync(file)
    )
    run = train(recipe(), tmp_path / "run", registry=registry)
    until = written[: written.index(str(run.folder / ".manifest.json.partial"))]
    assert {str(run.folder / name) for name in run.manifest["files"]} <= {*until}


# refusals


def test_one_training_at_a_time_goes_on_with_a_run(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(recipe(), tmp_path / "run", registry=registry)
    (run.folder / "manifest.json").unlink()
    monkeypatch.setattr(loop, "PATIENCE", 0.0)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    with alone(run.folder):
        with pytest.raises(
            RunError, match=r"another process trains in .*run; wait for its end, or choose anot"
        ):
            train(recipe(), run.folder, resume=True, registry=registry)
        assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before
    assert train(recipe(), run.folder, resume=True, registry=registry).finished


def test_a_changed_recipe_is_not_resumed(registry: Registry, tmp_path: Path) -> None:
    run = train(recipe(), tmp_path / "run", registry=registry)
    (run.folder / "manifest.json").unlink()
    changed = recipe({"train.lr": 0.02, "fuser.heads": 4, "encoders.audio.dropout": 0.0})
    with pytest.raises(
        RunError,
        match=r"run was started with another recipe; these keys differ: encoders\.audio\.dropout, "
        r"fuser\.heads, train\.lr$",
    ):
        train(changed, run.folder, resume=True, registry=registry)


def test_sources_that_have_other_rows_now_are_told(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: ModuleType
) -> None:
    run = train(recipe(), tmp_path / "run", registry=registry)
    (run.folder / "manifest.json").unlink()
    monkeypatch.setattr(toy.Rows, "__len__", lambda rows: 20 if rows.rows == 24 else rows.rows)
    told = r"run began with other rows \(seen had 24 and has 20\); put them back as they were, or start anew"
    with pytest.raises(RunError, match=told):
        train(recipe(), run.folder, resume=True, registry=registry)


def test_a_folder_that_holds_something_is_not_written_into(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("of the owner")
    with pytest.raises(RunError, match=r"exists; continue it with --resume, or choose another --out"):
        train(recipe(), tmp_path, registry=registry)
    with pytest.raises(RunError, match=r"notes\.txt exists; continue it"):
        train(recipe(), tmp_path / "notes.txt", registry=registry)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_process_that_reads_rows_and_is_killed_is_told(registry: Registry, tmp_path: Path) -> None:
    made = recipe({"sources.heard.deadly": [3], "train.workers": 2, "train.steps": 50})
    said = r"a process that reads rows was killed \(DataLoader worker .*lower train.workers, and go on with"
    with pytest.raises(DataError, match=said):
        train(made, tmp_path / "run", registry=registry)


def test_a_finished_run_is_not_resumed(whole: Run, registry: Registry) -> None:
    with pytest.raises(RunError, match="whole is finished; nothing is left to resume"):
        train(recipe(), whole.folder, resume=True, registry=registry)


def test_what_is_not_there_is_not_resumed(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="nothing to resume: there is no runs/toy"):
        train(recipe(), resume=True, registry=registry)
    with pytest.raises(RunError, match=r"is not a run: it has no recipe\.yaml"):
        train(recipe(), tmp_path, resume=True, registry=registry)


def test_runs_are_numbered_and_the_newest_is_resumed(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    short = recipe({"train.steps": 1})
    folders = [train(short, registry=registry).folder for _ in range(3)]
    assert [str(folder) for folder in folders] == ["runs/toy", "runs/toy-2", "runs/toy-3"]
    (folders[2] / "manifest.json").unlink()
    assert train(short, resume=True, registry=registry).folder == folders[2]


def test_a_batch_that_a_source_cannot_fill_is_refused_before_a_folder_is_made(
    registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="source 'heard' has 11 rows, but a batch of 36 takes 12 of it"):
        train(recipe({"train.batch": 36, "sources.heard.rows": 11}), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


def test_all_mistakes_of_a_recipe_are_told_before_a_folder_is_made(
    registry: Registry, tmp_path: Path
) -> None:
    wrong = recipe({"fuser.head": 3, "encoders.audio.dim": "wide", "objectives.kind.name": "clasify"})
    with pytest.raises(RecipeError, match=r"encoders\.audio\.dim(.|\n)*clasify(.|\n)*'head'"):
        train(wrong, tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["type", "training", "forward", "keys"])
def test_a_modality_that_torch_has_another_use_for_is_refused(
    name: str, registry: Registry, tmp_path: Path
) -> None:
    made = recipe({"encoders": {"text": {"name": "toy-text"}, name: {"name": "toy-image"}}, "augment": {}})
    with pytest.raises(RecipeError, match=f"torch needs the name '{name}' for itself; use another"):
        train(made, tmp_path / "run", registry=registry)


# bad rows


def test_bad_rows_are_listed_and_counted_once(registry: Registry, tmp_path: Path) -> None:
    made = recipe({"sources.heard.broken": [3, 5], "train.steps": 20})
    run = train(made, tmp_path / "run", registry=registry)  # heard is gone through twice
    listed = (run.folder / "ledger.jsonl").read_text().splitlines()
    assert sorted(listed) == [
        '{"source": "heard", "row": 3, "reason": "audio: torn"}',
        '{"source": "heard", "row": 5, "reason": "audio: torn"}',
    ]
    assert run.metrics["data/bad_rows"] == 2
    assert run.metrics["train/rows/text+audio"] < 40
    assert run.metrics["train/rows/image+text"] == 80


def test_too_many_bad_rows_stop_a_training(registry: Registry, tmp_path: Path) -> None:
    made = recipe({"sources.heard.broken": list(range(17)), "train.max_bad": 2})
    with pytest.raises(
        DataError,
        match=r"^4 rows cannot be read, train\.max_bad allows 2; the worst source is 'heard' with 4, such "
        r"as row \d+: audio: torn; all are in .*run/ledger\.jsonl$",
    ):
        train(made, tmp_path / "run", registry=registry)


def test_a_training_of_which_no_row_can_be_read_stops(registry: Registry, tmp_path: Path) -> None:
    broken = {f"sources.{name}.broken": list(range(24)) for name in ("seen", "heard")}
    with pytest.raises(
        DataError, match=r"^not one row could be read so far: \d+ such as row .*; all are in .*ledger\.jsonl$"
    ):
        train(recipe(broken | {"train.steps": 2}), tmp_path / "run", registry=registry)


def test_a_training_of_which_no_row_has_a_modality_stops(registry: Registry, tmp_path: Path) -> None:
    hidden = {f"sources.{name}.without": ["image", "text", "audio"] for name in ("seen", "heard")}
    with pytest.raises(DataError, match=r"^not one row so far has any of image, text, audio; sources give"):
        train(recipe(hidden | {"train.steps": 2}), tmp_path / "run", registry=registry)
    with pytest.raises(DataError, match=r"^not one row so far has any of"):
        train(recipe(hidden | {"train.steps": 1000}), tmp_path / "long", registry=registry)


def test_a_batch_that_does_not_fit_into_memory_is_told(registry: Registry, tmp_path: Path) -> None:
    made = recipe({"encoders.audio": {"name": "toy-hungry"}})
    with pytest.raises(
        TrainingError, match=r"^6 rows per process do not fit .* lower train\.batch \(6\).*allocate 80 GiB"
    ):
        train(made, tmp_path / "run", registry=registry)


def test_a_batch_without_a_readable_row_needs_no_objective_with_parameters(
    registry: Registry, tmp_path: Path
) -> None:
    made = recipe(
        {
            "objectives": {"still": {"name": "toy-still"}},
            "fuser": {"name": "mean"},
            "sources": {
                "all": {"name": "toy", "rows": 12, "broken": [0, 1, 2, 3, 4, 5], "view": ["image", "text"]}
            },
            "train.batch": 1,
            "train.steps": 12,
        }
    )
    run = train(made, tmp_path / "run", registry=registry)
    assert sum(line["loss"] == 0 for line in lines(run)) == 6
    assert run.metrics["data/bad_rows"] == 6


# what learns, and how fast


def test_a_frozen_encoder_stays_as_it_is_and_takes_no_optimiser_state(
    registry: Registry, tmp_path: Path
) -> None:
    made = recipe({"encoders.text.tune": {"mode": "frozen"}})
    run = train(made, tmp_path / "run", registry=registry)
    before, after = initial(made, registry).state_dict(), weights(run)
    changed = {name.rpartition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert "encoders.text.layer" not in changed
    assert {"encoders.image.layer", "encoders.audio.layer", "align.text.norm", "fuser.norm"} <= changed
    [last] = run.checkpoints.iterdir()
    state = checkpoint.load(last).optimizer
    assert "encoders.image.layer.weight/exp_avg" in state
    assert "align.text.project.weight/exp_avg" in state
    assert not [name for name in state if name.startswith("encoders.text")]


def test_a_modality_that_no_row_has_is_left_alone(registry: Registry, tmp_path: Path) -> None:
    made = recipe({"sources": {"seen": {"name": "toy", "view": ["image", "text"]}}})
    run = train(made, tmp_path / "run", registry=registry)
    before, after = initial(made, registry).state_dict(), weights(run)
    for name in before:
        if name.startswith(("encoders.audio", "align.audio")):
            assert torch.equal(before[name], after[name])
    assert not torch.equal(before["encoders.image.layer.weight"], after["encoders.image.layer.weight"])
    assert all(tensor.isfinite().all() for tensor in after.values())


def test_an_encoder_learns_at_its_own_rate(registry: Registry, tmp_path: Path) -> None:
    # the first step of Adam is the rate times the sign of the gradient
    one_step = {"train.steps": 1, "train.weight_decay": 0.0, "train.clip": None, "train.lr": 0.01}
    made = recipe(one_step | {"encoders.image.tune": {"lr_scale": 0.5}})
    run = train(made, tmp_path / "run", registry=registry)
    before, after = initial(made, registry).state_dict(), weights(run)
    for name, rate in (
        ("encoders.image.layer.bias", 0.005),
        ("encoders.text.layer.bias", 0.01),
        ("align.image.norm.bias", 0.01),
    ):
        moved = (after[name] - before[name]).abs()
        torch.testing.assert_close(moved, torch.full_like(moved, rate), atol=2e-5, rtol=0)


def test_the_groups_of_the_optimiser_decay_matrices_only(registry: Registry) -> None:
    made = recipe({"encoders.image.tune": {"lr_scale": 0.5}, "encoders.text.tune": {"mode": "frozen"}})
    model = initial(made, registry)
    adamw = optimizer(model, made)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        names[id(parameter)]: (group["lr_scale"], group["weight_decay"])
        for group in adamw.param_groups
        for parameter in group["params"]
    }
    assert found["encoders.image.layer.weight"] == (0.5, 0.05)
    assert found["encoders.image.layer.bias"] == (0.5, 0.0)
    assert found["encoders.audio.layer.weight"] == (1.0, 0.05)
    assert found["align.image.project.weight"] == (1.0, 0.05)
    assert found["objectives.align.log_scale"] == (1.0, 0.0)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert found.keys() == trained
    assert not [name for name in trained if name.startswith("encoders.text")]


def test_the_learning_rate_falls_from_layer_to_layer(registry: Registry) -> None:
    tune = {"lr_scale": 0.5, "layer_decay": 0.1}
    made = complete(read_recipe("bind_digits", [f"encoders.text.tune={tune}"], registry), registry)
    model = initial(made, registry)
    scales = {
        name: group["lr_scale"]
        for group in optimizer(model, made).param_groups
        for parameter in group["params"]
        for name, known in model.named_parameters()
        if known is parameter
    }
    assert scales["encoders.text.norm.weight"] == 0.5  # goes with the last layer
    assert scales["encoders.text.layers.1.mix.0.weight"] == 0.5
    assert scales["encoders.text.layers.0.mix.0.bias"] == pytest.approx(0.05)
    assert scales["encoders.text.bytes.weight"] == pytest.approx(0.005)
    assert scales["encoders.text.places"] == pytest.approx(0.0005)
    assert scales["encoders.image.net.0.weight"] == scales["align.text.project.weight"] == 1.0


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.5),  # 1/2 of the warm-up
        (1, 1.0),
        (2, 1.0),  # the cosine begins at its top
        (4, 0.5 * (1 + math.sqrt(0.5))),  # a quarter of the way
        (6, 0.5),
        (8, 0.5 * (1 - math.sqrt(0.5))),
        (10, 0.0),  # which is after the last step
    ],
)
def test_the_rate_rises_in_a_line_and_falls_in_a_cosine(step: int, rate: float) -> None:
    train_ = Train(steps=10, lr=2.0, warmup=0.2)
    assert learning_rate(step, train_) == pytest.approx(2.0 * rate, abs=1e-12)


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 0.99), (3, 0.99), (1000, 0.1)])
def test_the_rate_is_positive_at_every_step(steps: int, warmup: float) -> None:
    rates = [learning_rate(step, Train(steps=steps, lr=1.0, warmup=warmup)) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)


def test_the_rate_of_a_step_is_written_with_it(whole: Run) -> None:
    train_ = Train(steps=8, lr=0.01)
    assert [line["lr"] for line in lines(whole)] == [learning_rate(step, train_) for step in range(8)]


# precision


def test_bf16_trains_on_a_cpu_after_fp32_in_the_same_process(
    whole: Run, registry: Registry, tmp_path: Path
) -> None:
    run = train(recipe({"train.precision": "bf16"}), tmp_path / "run", registry=registry)
    for one, two in zip(lines(run), lines(whole), strict=True):
        assert one["loss"] != two["loss"]
        assert one["loss"] == pytest.approx(two["loss"], rel=0.05)
    assert {tensor.dtype for tensor in weights(run).values()} == {torch.float32}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_fp16_without_a_gpu_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"train\.precision fp16 needs a GPU; use bf16 or fp32 on this machine"
    ):
        train(recipe({"train.precision": "fp16"}), tmp_path / "run", registry=registry)


# hooks


def test_loggers_hear_of_the_start_every_step_and_the_end(toy: ModuleType, tmp_path: Path) -> None:
    heard: list[Any] = []
    logger = ModuleType("logger")

    @hookimpl
    def fusion_train_start(recipe: Recipe, model: Model) -> None:
        heard.append((recipe.name, model.modalities))

    @hookimpl
    def fusion_step_end(step: int, losses: dict[str, float]) -> None:
        heard.append((step, losses))

    @hookimpl
    def fusion_train_end(run: Run) -> None:
        heard.append((run.folder, run.finished, run.report.is_file()))

    vars(logger).update(
        fusion_train_start=fusion_train_start,
        fusion_step_end=fusion_step_end,
        fusion_train_end=fusion_train_end,
    )
    made = recipe({"train.log_every": 3})
    run = train(made, tmp_path / "run", registry=Registry(plugins={"toy": toy, "logger": logger}))
    assert heard[0] == ("toy", ("image", "text", "audio"))
    assert heard[1:-1] == [
        (line["step"], {key: line[key] for key in ("loss", "loss/align", "loss/kind")}) for line in lines(run)
    ]
    assert heard[-1] == (tmp_path / "run", True, True)


def test_an_evaluation_source_that_cannot_be_built_is_told_before_the_first_step(
    registry: Registry, tmp_path: Path
) -> None:
    made = recipe({"evaluate": {"sources": {"test": {"name": "toy-gone"}}}})
    with pytest.raises(DataError, match=r"^evaluate\.sources\.test: no such file: none\.csv$"):
        train(made, tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


def test_a_run_whose_evaluation_failed_goes_on_with_another_evaluation(
    registry: Registry, tmp_path: Path
) -> None:
    test = {"name": "toy", "rows": 9}
    wrong = recipe({"evaluate": {"sources": {"test": test}, "target": "labl"}})
    with pytest.raises(DataError, match=r"^no row of evaluate\.sources has the target 'labl'; name another"):
        train(wrong, tmp_path / "run", registry=registry)
    right = recipe({"evaluate": {"sources": {"test": test}}})
    run = train(right, tmp_path / "run", resume=True, registry=registry)
    assert run.recipe.evaluate.target == "label"
    assert run.metrics["retrieval/image->audio/labelled"] == 9


def test_an_evaluation_source_without_a_modality_is_no_empty_report(
    registry: Registry, tmp_path: Path
) -> None:
    sources = {
        "test": {"name": "toy", "rows": 9},
        "other": {"name": "toy", "rows": 9, "view": []},
    }
    wrong = recipe({"evaluate": {"sources": sources}})
    message = r"^evaluate\.sources\.other: no row has any of image, text, audio; `fusion data` tells"
    with pytest.raises(DataError, match=message):
        train(wrong, tmp_path / "run", registry=registry)
    right = recipe({"evaluate": {"sources": {"test": {"name": "toy", "rows": 9}}}})
    assert train(right, tmp_path / "run", resume=True, registry=registry).metrics["evaluate/rows"] == 9


def test_a_stream_says_that_its_order_is_approximate(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = recipe({"sources.seen": {"name": "toy-stream"}, "train.steps": 1})
    train(made, tmp_path / "run", registry=registry)
    said = capsys.readouterr().err
    assert "sources.seen is a stream: its order is approximate, and depends on the processes" in said
    assert "sources.heard is a stream" not in said


@pytest.mark.parametrize("section", ["sources", "calibrate", "foreign"])
def test_rows_to_measure_on_that_cannot_be_read_are_told_before_the_training(
    section: str, registry: Registry, tmp_path: Path
) -> None:
    whole = {"name": "toy", "view": ["image", "text", "audio"]}
    given = {"sources": {"test": whole}} | {section: {"all": {**whole, "broken": list(range(24))}}}
    told = rf"evaluate\.{section}\.all: none of the first 16 rows can be read, such as"
    with pytest.raises(DataError, match=told):
        train(recipe({"evaluate": given}), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_compiled_encoders_learn_the_same(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", _counting(torch.nn.Module.compile, compiled))
    settings: dict[str, Any] = {f"encoders.{name}.dropout": 0.0 for name in ("image", "text", "audio")}
    settings |= {"train.steps": 3, "train.lr": 1e-3}  # without dropout: compiled layers draw other numbers
    plain = train(recipe(settings), tmp_path / "plain", registry=registry)
    run = train(recipe(settings | {"train.compile": True}), tmp_path / "run", registry=registry)
    assert len(compiled) == 3
    first, second = weights(plain), weights(run)
    assert first.keys() == second.keys()
    for name, weight in first.items():
        assert torch.allclose(second[name], weight, atol=1e-5), name


def _counting(method: Callable[..., None], names: list[str]) -> Callable[..., None]:
    def counted(self: torch.nn.Module) -> None:
        names.append(type(self).__name__)
        method(self)

    return counted
