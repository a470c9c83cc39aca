"""A training before a compression prepares for it; a student learns from the run; both may be resumed."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fusion import (
    Component,
    Compression,
    Model,
    PluginError,
    Recipe,
    RecipeError,
    Registry,
    Run,
    RunError,
    TrainingError,
    compress,
    hookimpl,
    load,
    train,
)
from fusion.recipe.picks import Pick
from fusion.shrink.rebuild import applied
from fusion.shrink.recipes import distilled
from tests.training.conftest import Command, installed, python, torchrun
from tests.training.toys import ALIKE, recipe, write

__all__ = ["installed", "python", "torchrun"]

LOW_RANK = Pick.model_validate({"name": "low-rank", "energy": 0.6})
ASKED: list[tuple[int, int]] = []


class Held(Compression):
    """Holds the first column of each projection at zero, and says when it was asked to."""

    @torch.no_grad()
    def prepare(self, model: Model, step: int, steps: int) -> None:
        assert not torch.is_grad_enabled()
        ASKED.append((step, steps))
        for name, parameter in model.named_parameters():
            if name.endswith("project.weight"):
                parameter[:, 0] = 0

    def apply(self, model: Model) -> dict[str, Any]:
        assert not model.training
        self.prepare(model, 0, 1)
        return {}

    def restore(self, model: Model, record: Mapping[str, Any]) -> None: ...


@pytest.fixture(scope="module")
def holding(toy: ModuleType) -> Registry:
    @hookimpl
    def fusion_compressions() -> list[Component]:
        return [Component("held", Held)]

    module = ModuleType("holding")
    vars(module)["fusion_compressions"] = fusion_compressions
    return Registry(plugins={"toy": toy, "holding": module})


def test_it_is_prepared_before_every_step_of_the_recovery(
    full: Run, holding: Registry, tmp_path: Path
) -> None:
    ASKED.clear()
    made = compress(
        full, tmp_path / "run", chosen=[Pick(name="held")], recover=5, max_drop=1, registry=holding
    )
    assert [(0, 5), *((step, 5) for step in range(5)), (0, 1)] == ASKED
    assert made.run is not None
    assert made.record["trained"] == made.run.metrics["train/steps"] == 5
    assert made.run.manifest["init"]["init"] == str(full.folder)
    assert not made.run.checkpoints.exists()
    before, after = load_file(full.model_file), load_file(made.run.model_file)
    for name, value in after.items():
        if name.endswith("project.weight"):
            assert not value[:, 0].any()
            assert before[name][:, 0].all()
            assert not torch.equal(value[:, 1:], before[name][:, 1:])  # the rest has learned


class Faulty(Held):
    def prepare(self, model: Model, step: int, steps: int) -> None:
        model.get_submodule("nowhere")


def test_a_bug_in_what_prepares_is_told_with_its_name(toy: ModuleType, tmp_path: Path) -> None:
    @hookimpl
    def fusion_compressions() -> list[Component]:
        return [Component("faulty", Faulty)]

    module = ModuleType("wrong")
    vars(module)["fusion_compressions"] = fusion_compressions
    registry = Registry(plugins={"toy": toy, "wrong": module})
    with pytest.raises(PluginError, match=r"compression faulty failed: AttributeError\(.*nowhere"):
        train(recipe({"train.steps": 2}), tmp_path / "run", compress=[Pick(name="faulty")], registry=registry)


def test_the_factors_learn_that_take_the_place_of_weights(
    full: Run, registry: Registry, tmp_path: Path
) -> None:
    runs = [
        compress(
            full, tmp_path / str(steps), chosen=[LOW_RANK], recover=steps, max_drop=1, registry=registry
        ).run
        for steps in (0, 6)
    ]
    assert runs[0] is not None
    assert runs[1] is not None
    plain, trained = (load_file(run.model_file) for run in runs if run is not None)
    assert {name: value.shape for name, value in plain.items()} == {
        name: value.shape for name, value in trained.items()
    }
    assert any(name.endswith(".into") for name in plain)
    assert all(not torch.equal(plain[name], trained[name]) for name in plain if name.endswith(".into"))
    load(runs[1], "cpu", registry)


def test_a_training_that_is_resumed_ends_with_the_same_bits(
    full: Run, registry: Registry, tmp_path: Path
) -> None:
    made = recipe({"init": str(full.folder), "train.steps": 8, "train.checkpoint_every": 4})
    whole = train(made, tmp_path / "whole", compress=[LOW_RANK], registry=registry)
    copied = Run(shutil.copytree(whole.folder, tmp_path / "copied"))
    (copied.folder / "manifest.json").unlink()
    (copied.folder / "compression.json").unlink()
    shutil.rmtree(copied.checkpoints / "step-00000008")
    again = train(made, copied.folder, resume=True, compress=[LOW_RANK], registry=registry)
    assert again.manifest["files"] == whole.manifest["files"]
    assert applied(again) == applied(whole)


def test_two_processes_end_with_what_one_does(
    full: Run, registry: Registry, torchrun: Command, tmp_path: Path
) -> None:
    given = recipe({**ALIKE, "init": str(full.folder)})
    write(given, tmp_path / "toy.yaml")
    done = torchrun(2, str(Path(__file__).with_name("launched.py")), str(tmp_path))
    assert done.returncode == 0, done.stderr
    one, two = train(given, tmp_path / "one", compress=[LOW_RANK], registry=registry), Run(tmp_path / "two")
    assert two.manifest["processes"] == 2
    assert applied(two) == applied(one)
    rows = [{"image": [1.0, 0.5, -1.0, 0.0], "text": [0.1, 0.2, 0.3, 0.4]}, {"audio": [1.0, -1.0, 0.0, 2.0]}]
    first, second = (load(run, "cpu", registry).encode(rows) for run in (one, two))
    for name, vectors in first.vectors.items():
        assert torch.allclose(vectors, second.vectors[name], atol=1e-5), name
    assert torch.allclose(first.fused, second.fused, atol=1e-5)


def test_shards_are_refused(full: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    with pytest.raises(TrainingError, match="a compression changes whole weights; launch without FSDP2"):
        train(full.recipe, compress=[LOW_RANK], registry=registry)


def test_adapters_are_merged_before_a_compression_and_refused_in_a_training_with_one(
    full: Run, registry: Registry, tmp_path: Path
) -> None:
    adapted = recipe({"train.steps": 3, "evaluate": full.recipe.evaluate.model_dump(mode="json")})
    data = adapted.model_dump(mode="json")
    data["encoders"]["text"]["tune"] = {"mode": "lora", "rank": 2}
    adapted = Recipe(**data)
    with pytest.raises(RecipeError, match=r"encoders\.text\.tune: lora adds weights, and a compression"):
        train(adapted, tmp_path / "no", compress=[LOW_RANK], registry=registry)
    run = train(adapted, tmp_path / "lora", registry=registry)
    made = compress(run, tmp_path / "small", chosen=[Pick(name="halves")], registry=registry)
    assert made.run is not None
    assert made.run.recipe.encoders["text"].tune.mode == "full"
    assert not [name for name in load_file(made.run.model_file) if "parametrizations" in name]
    rows = {"text": [0.1, 0.2, 0.3, 0.4]}
    there, here = (load(one, "cpu", registry).encode(rows).vectors["text"] for one in (run, made.run))
    assert torch.allclose(there, here, atol=1e-3)


def test_a_compressed_run_is_not_trained_on(full: Run, registry: Registry, tmp_path: Path) -> None:
    made = compress(full, tmp_path / "run", chosen=[Pick(name="halves")], registry=registry)
    assert made.run is not None
    with pytest.raises(RunError, match=r"was compressed \(halves\), and training would not keep it so"):
        compress(made.run, tmp_path / "again", chosen=[LOW_RANK], recover=2, registry=registry)


def test_a_smaller_student_learns_from_the_run(full: Run, registry: Registry, tmp_path: Path) -> None:
    made = compress(
        full,
        tmp_path / "student",
        distil=["encoders.image.dim=2", "width=6"],
        steps=4,
        chosen=[Pick(name="halves")],
        max_drop=1,
        registry=registry,
    )
    assert made.run is not None
    recipe = made.run.recipe
    assert (recipe.teacher, recipe.init, recipe.train.steps) == (str(full.folder), None, 4)
    assert recipe.encoders["image"].options["dim"] == 2
    taught = {name for name in recipe.objectives if name.startswith("taught-")}
    assert taught == {"taught-fused", "taught-image", "taught-text", "taught-audio"}
    assert made.run.manifest["teacher"]["teacher"] == str(full.folder)
    assert made.run.model_file.stat().st_size < full.model_file.stat().st_size
    assert [one.name for one in applied(made.run)] == ["halves"]


def test_a_student_may_begin_with_what_fits_of_the_run_and_hold_it(
    full: Run, registry: Registry, tmp_path: Path
) -> None:
    held = ["encoders.text.tune.mode=frozen", "encoders.text.tune.align=false"]
    smaller = ["encoders.image.dim=2", f"init={full.folder}", *held]
    made = compress(full, tmp_path / "student", distil=smaller, steps=2, max_drop=1, registry=registry).run
    assert made is not None
    before, after = load_file(full.model_file), load_file(made.model_file)
    text = [name for name in before if name.startswith(("encoders.text.", "align.text."))]
    assert len(text) > 2
    assert all(torch.equal(before[name], after[name]) for name in text)
    reshaped = made.manifest["init"]["reshaped"]
    assert reshaped
    assert {name.split(".")[1] for name in reshaped} == {"image"}
    assert made.recipe.teacher == made.recipe.init == str(full.folder)


def test_objectives_of_ones_own_take_the_place_of_the_usual_ones(
    full: Run, registry: Registry, tmp_path: Path
) -> None:
    own = "objectives.near={name: distill-relations, target: teacher/vectors/text, student: image}"
    made = compress(full, tmp_path / "run", distil=[own], steps=2, max_drop=1, registry=registry)
    assert made.run is not None
    assert made.run.recipe.objectives.keys() == {"align", "kind", "near"}


@pytest.mark.parametrize("override", ["objectives.kind.weight=2", "objectives.taught-text.weight=3"])
def test_an_objective_that_reads_nothing_of_the_run_does_not_take_the_teaching_away(
    full: Run, registry: Registry, override: str
) -> None:
    recipe = distilled(full, 2, [override], registry)
    taught = {"taught-fused", "taught-image", "taught-text", "taught-audio"}
    assert recipe.objectives.keys() == {"align", "kind", *taught}
    _, name, _ = override.split(".")
    assert recipe.objectives[name].weight == float(override[-1])
