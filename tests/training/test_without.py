"""Sources whose labels or modalities the training is not to know."""

from pathlib import Path
from typing import Any

import pytest

from fusion import RecipeError, Registry, Run, train
from fusion.build import build_model, build_sources
from fusion.training.steps import training_steps
from tests.training.toys import recipe


def test_a_source_without_its_labels_is_read_and_has_none(registry: Registry) -> None:
    made = recipe({"sources.heard.without": ["label"]})
    batch = training_steps(made, build_model(made, registry), registry)[0].batch
    unlabelled = batch.source == 1
    assert unlabelled.any()
    assert ((batch.targets["label"] == -100) == unlabelled).all()
    assert batch.present["audio"][unlabelled].all()


def test_a_source_without_a_modality(registry: Registry, tmp_path: Path) -> None:
    run: Run = train(recipe({"sources.seen.without": ["image"]}), tmp_path / "run", registry=registry)
    assert (run.metrics["train/rows/text"], run.metrics["train/rows/text+audio"]) == (32, 16)


def test_the_rows_of_a_source_with_nothing_left_out_are_its_own(registry: Registry) -> None:
    made = recipe({"sources.heard.without": ["audio", "label"]})
    seen, heard = build_sources(made.sources, registry).values()
    row: Any = heard[0]  # type: ignore[index]
    assert set(row) & {"audio", "label"} == set()
    assert "text" in row
    assert len(heard) == 17  # type: ignore[arg-type]
    assert type(seen).__name__ == "Rows"


def test_a_stream_without_its_labels(registry: Registry) -> None:
    made = recipe({"sources.heard": {"name": "toy-stream", "without": ["label"]}})
    batch = training_steps(made, build_model(made, registry), registry)[0].batch
    assert (batch.targets["label"][batch.source == 1] == -100).all()
    assert (batch.targets["label"][batch.source == 0] != -100).all()


def test_what_a_teacher_gives_is_not_in_a_source(registry: Registry) -> None:
    near = {"near": {"name": "distill", "target": "teacher/fused", "dim": 8}}
    made = recipe({"sources.heard.without": ["teacher/fused"], "objectives": near, "teacher": "runs/x"})
    with pytest.raises(RecipeError, match=r"sources\.heard\.without: .*'teacher/fused'"):
        training_steps(made, build_model(made, registry), registry)


def test_a_key_that_nothing_reads_is_an_error(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"sources\.heard\.without: .*'lable'; did you mean 'label'"):
        train(recipe({"sources.heard.without": ["lable"]}), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()
