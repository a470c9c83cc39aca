"""Runs of three modalities that are merged: their weights, their record, and what is refused."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fusion import RecipeError, Registry, Run, RunError, load, merge, train
from fusion.evaluation.evaluate import Evaluation
from fusion.files import sha256
from tests.training.toys import recipe, weights

VIEW = ["image", "text", "audio"]
MEASURED = {"evaluate": {"sources": {"all": {"name": "toy", "view": VIEW}}}}
SOUND = {"sources": {"heard": {"name": "toy", "view": ["text", "audio"]}}}
ACCURACY = "subsets/image/accuracy"


@pytest.fixture(scope="module")
def before(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe(MEASURED), tmp_path_factory.mktemp("before") / "run", registry=registry)


@pytest.fixture(scope="module")
def after(before: Run, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    changes = MEASURED | {"init": str(before.folder), "train.seed": 1}
    return train(recipe(changes), tmp_path_factory.mktemp("after") / "run", registry=registry)


@pytest.fixture(scope="module")
def other(before: Run, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    changes = MEASURED | SOUND | {"init": str(before.folder), "train.seed": 2, "train.steps": 4}
    return train(recipe(changes), tmp_path_factory.mktemp("other") / "run", registry=registry)


def equal(one: Mapping[str, Tensor], another: Mapping[str, Tensor]) -> bool:
    return one.keys() == another.keys() and all(torch.equal(one[name], another[name]) for name in one)


@pytest.mark.parametrize("method", ["wise-ft", "slerp"])
def test_at_its_ends_alpha_gives_the_two_models_back(
    method: str, before: Run, after: Run, registry: Registry, tmp_path: Path
) -> None:
    assert not equal(weights(before), weights(after))
    for alpha, run in ((0, before), (1, after)):
        merged = merge(
            [before.folder, after.folder],
            tmp_path / str(alpha),
            method=method,
            weights=[alpha],
            registry=registry,
        )
        assert equal(weights(merged), weights(run))
        measured = {key: value for key, value in run.metrics.items() if key.startswith(("subsets/", "retr"))}
        assert len(measured) > 20
        assert {key: merged.metrics[key] for key in measured if "emergent" not in key} == {
            key: value for key, value in measured.items() if "emergent" not in key
        }


def test_parts_have_weights_of_their_own(before: Run, after: Run, registry: Registry, tmp_path: Path) -> None:
    parts = {"image": [0.75], "fuser": [1.0], "objectives.kind": [0.0]}
    merged = merge(
        [before.folder, after.folder],
        tmp_path / "run",
        method="wise-ft",
        weights=[0.5],
        parts=parts,
        registry=registry,
    )
    one, two, found = weights(before), weights(after), weights(merged)
    shares = {"image": 0.75, "text": 0.5, "audio": 0.5}
    for name, value in found.items():
        section, _, rest = name.partition(".")
        alpha = {"fuser": 1.0, "objectives": 0.0 if rest.startswith("kind") else 0.5}.get(section)
        alpha = shares[rest.partition(".")[0]] if alpha is None else alpha
        torch.testing.assert_close(value, (1 - alpha) * one[name] + alpha * two[name])
    assert merged.manifest["merge"]["parts"] == {
        "image": [0.25, 0.75],
        "fuser": [0.0, 1.0],
        "objectives.kind": [1.0, 0.0],
    }


def test_the_result_is_a_run_that_says_where_it_is_from(
    before: Run, after: Run, other: Run, registry: Registry, tmp_path: Path
) -> None:
    given = [after.folder, other.folder]
    merged = merge(given, tmp_path / "run", method="ties", settings={"density": 0.5}, registry=registry)
    assert merged.recipe.name == "toy-merged"
    assert merged.manifest["merge"] == {
        "method": "ties",
        "options": {"density": 0.5, "scale": 1.0},
        "runs": [
            {"run": str(run.folder), "weight": 0.5, "sha256": run.manifest["files"]["model.safetensors"]}
            for run in (after, other)
        ],
        "base": {"init": str(before.folder), "sha256": before.manifest["files"]["model.safetensors"]},
    }
    page = merged.report.read_text("utf-8")
    assert str(after.folder) in page
    assert f"Merged by ties, density 0.5, scale 1.0, from what {before.folder} knew." in page
    assert "Merged from" not in after.report.read_text("utf-8")
    rows = {key: value for key, value in merged.metrics.items() if key.startswith("init/rows/")}
    # 8 steps of 6 rows before, which both runs started from, 8 after, and 4 of sounds
    assert rows == {"init/rows/image+text": 3 * 32, "init/rows/text+audio": 3 * 16 + 24}
    assert merged.metrics["retrieval/image->audio/emergent"] is True
    assert merged.metrics["retrieval/image->text/emergent"] is False
    row = {"image": [1.0, 2.0, 3.0, 4.0]}
    assert load(merged, "cpu", registry).predict(row)["kind"].score.shape == (1, 3)
    start = {"init": str(merged.folder), "train.steps": 1}
    assert train(recipe(start), tmp_path / "next", registry=registry).manifest["init"]["new"] == []


def test_only_runs_that_were_read_count_for_what_has_met(
    before: Run, other: Run, registry: Registry, tmp_path: Path
) -> None:
    sound = train(recipe(MEASURED | SOUND), tmp_path / "sound", registry=registry)
    given = [sound.folder, before.folder]
    alone = merge(given, tmp_path / "0", method="wise-ft", weights=[0], registry=registry)
    assert alone.metrics["retrieval/image->text/emergent"] is None
    both = merge(given, tmp_path / "1", method="wise-ft", weights=[0.1], registry=registry)
    assert both.metrics["retrieval/image->text/emergent"] is False


def test_task_arithmetic_adds_to_the_weights_that_the_runs_started_from(
    before: Run, after: Run, other: Run, registry: Registry, tmp_path: Path
) -> None:
    given = [after.folder, other.folder]
    merged = merge(given, tmp_path / "run", method="task-arithmetic", weights=[0.5, -0.25], registry=registry)
    base, one, two = weights(before), weights(after), weights(other)
    for name, value in weights(merged).items():
        torch.testing.assert_close(
            value, base[name] + 0.5 * (one[name] - base[name]) - 0.25 * (two[name] - base[name])
        )
    file = shutil.copy(before.model_file, tmp_path / "base.safetensors")
    again = merge(
        given,
        tmp_path / "again",
        method="task-arithmetic",
        weights=[0.5, -0.25],
        base=file,
        registry=registry,
    )
    assert equal(weights(again), weights(merged))
    assert again.metrics["init/rows_unknown"] is True  # of a bare file


def test_what_adapters_learned_is_merged(before: Run, registry: Registry, tmp_path: Path) -> None:
    tuned = {"encoders.text.tune": {"mode": "lora", "rank": 2, "alpha": 2, "lr_scale": 3.0}, "train.steps": 3}
    changes = MEASURED | tuned | {"init": str(before.folder)}
    lora = train(recipe(changes), tmp_path / "lora", registry=registry)
    merged = merge(
        [lora.folder, before.folder], tmp_path / "run", method="average", weights=[3, 1], registry=registry
    )
    layer = "encoders.text.layer.parametrizations.weight"
    frozen, down, up = (weights(lora)[f"{layer}.{part}"] for part in ("original", "0.down", "0.up"))
    assert up.any()
    expected = 0.75 * (frozen + up @ down) + 0.25 * weights(before)["encoders.text.layer.weight"]
    torch.testing.assert_close(weights(merged)["encoders.text.layer.weight"], expected)
    assert (merged.recipe.encoders["text"].tune.mode, merged.recipe.encoders["text"].tune.lr_scale) == (
        "full",
        3.0,
    )
    assert load(merged, "cpu", registry).model.tunings["text"].__class__.__name__ == "Full"


def test_statistics_are_averaged_and_counters_are_those_of_the_run_that_counts_most(
    registry: Registry, tmp_path: Path
) -> None:
    normed = {"encoders.audio": {"name": "toy-normed"}}
    base = train(recipe(normed | {"train.steps": 2}), tmp_path / "base", registry=registry)
    start = normed | {"init": str(base.folder)}
    one = train(recipe(start | {"train.steps": 3}), tmp_path / "one", registry=registry)
    two = train(recipe(start | {"train.steps": 5, "train.seed": 1}), tmp_path / "two", registry=registry)
    norm = "encoders.audio.norm"
    kept = {
        run: {name: weights(run)[f"{norm}.{name}"] for name in ("running_var", "num_batches_tracked")}
        for run in (base, one, two)
    }
    assert kept[one]["num_batches_tracked"] != kept[two]["num_batches_tracked"]
    merged = merge(
        [one.folder, two.folder],
        tmp_path / "run",
        method="task-arithmetic",
        weights=[9, 27],
        registry=registry,
    )
    found = weights(merged)
    torch.testing.assert_close(
        found[f"{norm}.running_var"], 0.25 * kept[one]["running_var"] + 0.75 * kept[two]["running_var"]
    )
    assert found[f"{norm}.num_batches_tracked"] == kept[two]["num_batches_tracked"]
    away = merge([two.folder], tmp_path / "away", method="task-arithmetic", weights=[-1], registry=registry)
    assert torch.equal(weights(away)[f"{norm}.running_var"], kept[base]["running_var"])


# greedy soup


@pytest.fixture(scope="module")
def good(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    changes = MEASURED | {"train.steps": 60}
    return train(recipe(changes), tmp_path_factory.mktemp("good") / "run", registry=registry)


@pytest.fixture(scope="module")
def bad(good: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The good run, of which every number has another sign and is much larger."""
    folder = tmp_path_factory.mktemp("bad") / "run"
    shutil.copytree(good.folder, folder)
    run = Run(folder)
    save_file({name: -9 * value for name, value in load_file(run.model_file).items()}, run.model_file)
    record = run.manifest
    record["files"]["model.safetensors"] = sha256(run.model_file)
    run.write_json("manifest.json", record)
    return run


def test_a_bad_run_is_left_out_of_the_soup(good: Run, bad: Run, registry: Registry, tmp_path: Path) -> None:
    merged = merge(
        [bad.folder, good.folder, good.folder],
        tmp_path / "run",
        method="greedy-soup",
        by=ACCURACY,
        overrides=["evaluate.sources.all.rows=12"],
        registry=registry,
    )
    record = merged.manifest["merge"]
    assert [run["weight"] for run in record["runs"]] == [0.0, 0.5, 0.5]
    assert equal(weights(merged), weights(good))
    measured = {tuple(trial["weights"]): trial[ACCURACY] for trial in record["measured"]}
    assert measured[1.0, 0.0, 0.0] < measured[0.0, 1.0, 0.0] == merged.metrics[ACCURACY]
    assert record["by"] == ACCURACY
    assert merged.metrics["evaluate/rows"] == 12


def test_where_less_is_better_a_minus_says_so(
    good: Run, bad: Run, registry: Registry, tmp_path: Path
) -> None:
    merged = merge(
        [good.folder, bad.folder],
        tmp_path / "run",
        method="greedy-soup",
        by=f"-{ACCURACY}",
        registry=registry,
    )
    weights = [run["weight"] for run in merged.manifest["merge"]["runs"]]
    assert weights[1] > 0  # the worst is taken first


def test_what_is_not_a_number_is_the_worst(
    before: Run, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([float("nan"), 0.5, 0.4])
    monkeypatch.setattr(
        "fusion.transfer.trials.evaluate", lambda *given: Evaluation({"value": next(found)}, {}, [], {})
    )
    given = [before.folder, before.folder]
    merged = merge(given, tmp_path / "run", method="greedy-soup", by="value", registry=registry)
    assert [run["weight"] for run in merged.manifest["merge"]["runs"]] == [0.0, 1.0]


def test_the_curve_between_two_runs_is_measured_and_drawn(
    before: Run, after: Run, registry: Registry, tmp_path: Path
) -> None:
    keys = [ACCURACY, "subsets/text/accuracy"]
    given = [before.folder, after.folder]
    merged = merge(given, tmp_path / "run", method="wise-ft", weights=[1], curve=keys, registry=registry)
    found = merged.manifest["merge"]["curve"]
    assert found["weight"] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    for key in keys:
        assert (found[key][0], found[key][-1]) == (before.metrics[key], after.metrics[key])
        assert merged.metrics[key] == after.metrics[key]
    page = merged.report.read_text("utf-8")
    assert f"wise-ft with the weights 0, 0.1 ... 1: {keys[1]} against {keys[0]}." in page
    assert page.count("<title>weight 0.") == 9


# what is refused


def refused(
    match: str, given: list[Run | Path], registry: Registry, kind: type[Exception] = RunError, **options: Any
) -> None:
    place = Path(given[0].folder if isinstance(given[0], Run) else given[0]).parent / "refused"
    folders = [run.folder if isinstance(run, Run) else run for run in given]
    with pytest.raises(kind, match=match):
        merge(folders, place, **{"method": "average", "registry": registry, **options})
    assert not place.exists()


def test_runs_of_different_recipes_are_refused(before: Run, registry: Registry, tmp_path: Path) -> None:
    changes = {"objectives": {"kind": {"name": "classify", "classes": 4}, "still": {"name": "toy-still"}}}
    head = train(recipe(changes | {"train.steps": 1}), tmp_path / "head", registry=registry)
    refused(
        r"are of different recipes: objectives\.align is contrastive and not there; "
        r"objectives\.still is not there and toy-still; merge runs that have the same components",
        [before, head],
        registry,
    )
    wide = train(recipe({"encoders.image.dim": 6, "train.steps": 1}), tmp_path / "wide", registry=registry)
    refused(
        r"differ in their tensors: .*; encoders\.image\.layer\.bias is float32 \(4,\) and float32 \(6,\); "
        r".*merge runs whose recipes have the same encoders, width, fuser and objectives",
        [before, wide],
        registry,
    )


def test_damaged_and_unfinished_runs_are_refused(
    before: Run, after: Run, registry: Registry, tmp_path: Path
) -> None:
    copied = tmp_path / "run"
    shutil.copytree(before.folder, copied)
    content = bytearray((copied / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copied / "model.safetensors").write_bytes(content)
    refused(r"merge: .*model\.safetensors is missing or damaged: its SHA-256", [after, copied], registry)
    (copied / "model.safetensors").unlink()
    refused("is a run without weights: it is not finished", [after, copied], registry)
    refused("is not a run: it has no recipe.yaml", [after, tmp_path / "none"], registry)
    with pytest.raises(RunError, match="no runs to merge; name at least one"):
        merge([], method="average", registry=registry)


def test_a_base_that_is_not_known_or_does_not_fit_is_refused(
    before: Run, after: Run, good: Run, registry: Registry, tmp_path: Path
) -> None:
    ties: dict[str, Any] = {"method": "ties"}
    refused(r"does not say what it started from, by `init`; give --base", [after, before], registry, **ties)
    start = {"init": str(good.folder), "train.steps": 1}
    far = train(recipe(start), tmp_path / "far", registry=registry)
    refused(r"the runs started from different weights: .*; give --base", [after, far], registry, **ties)
    refused("average reads no base; leave --base out", [after, before], registry, base=before.folder)
    save_file({"align.image.norm.bias": torch.zeros(3)}, tmp_path / "few.safetensors")
    refused(r"is only in .*; and \d+ more", [after], registry, base=tmp_path / "few.safetensors", **ties)
    (tmp_path / "torn.safetensors").write_text(json.dumps({"no": "tensors"}))
    refused("cannot read .*torn", [after], registry, base=tmp_path / "torn.safetensors", **ties)
    refused("no is not there", [after], registry, base=tmp_path / "no", **ties)


def test_options_and_keys_that_are_unknown_are_refused(before: Run, after: Run, registry: Registry) -> None:
    given: list[Run | Path] = [before, after]
    refused(
        r"merge: set\.densty: unknown option of ties 'densty'; did you mean 'density'",
        given,
        registry,
        RecipeError,
        method="ties",
        settings={"densty": 1},
    )
    refused("unknown part 'imge'; did you mean 'image'", given, registry, parts={"imge": [1, 1]})
    refused("average of image: weights are 0.5; give each of", given, registry, parts={"image": [0.5]})
    refused("average: weights are 1, 2, 3; give each of the 2 runs", given, registry, weights=[1, 2, 3])
    refused("chooses by a metric: give --by KEY", given, registry, method="greedy-soup")
    with pytest.raises(RunError, match=r"exists; continue it with --resume, or choose another --out"):
        merge([before.folder], after.folder, method="average", registry=registry)
    refused("unknown metric 'acc'", given, registry, method="wise-ft", curve=["acc", ACCURACY])
    refused("unknown metric 'acc'", given, registry, method="greedy-soup", by="acc")


def test_several_processes_are_refused(before: Run, torchrun: Any, tmp_path: Path) -> None:
    done = torchrun(2, "-m", "fusion", "merge", str(before.folder), "--method=average", "--out", "out")
    assert done.returncode != 0
    assert "merging is the work of one process; start it without torchrun" in done.stderr
    assert not Path("out").exists()
