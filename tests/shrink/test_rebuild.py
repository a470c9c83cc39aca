"""A run is rebuilt from files that are what was written, or the fault is said in words."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fusion import (
    Component,
    Compression,
    Model,
    Registry,
    Run,
    RunError,
    compress,
    hookimpl,
    load,
    merge,
    train,
)
from fusion.files import sha256
from fusion.recipe.picks import Pick
from fusion.shrink.rebuild import FILE, rebuild
from fusion.tensors import write
from fusion.transfer.initial import weights_of
from tests.training.toys import recipe

Damage = Callable[[Any], Run]


@pytest.fixture(scope="module")
def halved(full: Run, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("halved") / "run"
    made = compress(full, place, chosen=[Pick(name="halves")], registry=registry)
    assert made.run is not None
    return made.run


@pytest.fixture
def written(halved: Run, tmp_path: Path) -> Damage:
    """A copy of the run with another compression.json, of which the manifest knows."""

    def make(content: Any) -> Run:
        run = Run(shutil.copytree(halved.folder, tmp_path / "copy"))
        (run.folder / FILE).write_text(content if isinstance(content, str) else json.dumps(content))
        record = run.manifest
        record["files"][FILE] = sha256(run.folder / FILE)
        run.write_json("manifest.json", record)
        return run

    return make


def test_a_changed_byte_is_found(halved: Run, registry: Registry, tmp_path: Path) -> None:
    run = Run(shutil.copytree(halved.folder, tmp_path / "copy"))
    path = run.folder / FILE
    path.write_bytes(path.read_bytes().replace(b"align.text", b"align.tent"))
    with pytest.raises(RunError, match=r"compression\.json is missing or damaged: its SHA-256 is not"):
        load(run, "cpu", registry)
    path.unlink()
    with pytest.raises(RunError, match=r"compression\.json is missing or damaged"):
        rebuild(run, registry)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", r"compression\.json is damaged: Expecting property name"),
        ({"name": "halves"}, r"is damaged: \"name\" is not an object with name, options and record"),
        ([{"name": "halves", "options": {}}], "is not an object with name, options and record"),
        ([{"name": 3, "options": {}, "record": {}}], "is not an object with name, options and record"),
        (7, "is damaged: 'int' object is not iterable; copy the run again"),
        (
            [{"name": "halves", "options": {}, "record": {"names": ["encoders.smell"]}}],
            r"halves cannot restore the model from what it has written: AttributeError.*smell",
        ),
        ([{"name": "halves", "options": {}, "record": {}}], "halves cannot restore the model .*'names'"),
        (
            [{"name": "low-rank", "options": {}, "record": {"ranks": {"align.text.project": 2}}}],
            r"holds other tensors than .* describes: .*align\.text\.project\.into",
        ),
        (
            [{"name": "low-rank", "options": {}, "record": {"ranks": {"align.text.project": "2"}}}],
            r"cannot restore .*align\.text\.project is no linear layer of rank '2'",
        ),
    ],
)
def test_what_is_no_record_is_told(written: Damage, registry: Registry, content: Any, message: str) -> None:
    with pytest.raises(RunError, match=f"(?s){message}"):
        load(written(content), "cpu", registry)


def test_codes_are_not_taken_for_numbers(written: Damage, registry: Registry) -> None:
    run = written([])
    weights = {name: value.clone() for name, value in load_file(run.model_file).items()}
    weights["align.text.project.weight"] = weights["align.text.project.weight"].to(torch.int8)
    write(run.model_file, weights)
    record = run.manifest
    record["files"][run.model_file.name] = sha256(run.model_file)
    run.write_json("manifest.json", record)
    with pytest.raises(
        RunError, match=r"align\.text\.project\.weight is torch\.int8 there, and torch\.float32"
    ):
        load(run, "cpu", registry)


def test_a_training_starts_from_the_expanded_weights(
    halved: Run, full: Run, registry: Registry, tmp_path: Path
) -> None:
    kept, before = weights_of(halved, registry)[0], load_file(full.model_file)
    assert kept.keys() == before.keys()
    for name, value in before.items():
        linear = name.endswith(".weight") and value.ndim == 2 and "project" in name
        assert torch.equal(kept[name], value.half().float()) or not linear
    later = recipe({"init": str(halved.folder), "train.steps": 1})
    run = train(later, tmp_path / "later", registry=registry)
    assert run.manifest["init"]["taken"] == len(before)
    assert (run.manifest["init"]["new"], run.manifest["init"]["reshaped"]) == ([], {})


class Bare(Compression):
    """Leaves out the normalisation before the shared space."""

    def apply(self, model: Model) -> dict[str, Any]:
        self.restore(model, {})
        return {}

    def restore(self, model: Model, record: Mapping[str, Any]) -> None:
        for part in list(model.align.values()):
            part.norm = nn.Identity()


def test_a_run_that_cannot_be_expanded_is_refused(full: Run, toy: ModuleType, tmp_path: Path) -> None:
    @hookimpl
    def fusion_compressions() -> list[Component]:
        return [Component("bare", Bare)]

    module = ModuleType("cutting")
    vars(module)["fusion_compressions"] = fusion_compressions
    registry = Registry(plugins={"toy": toy, "cutting": module})
    made = compress(full, tmp_path / "bare", chosen=[Pick(name="bare")], max_drop=1, registry=registry)
    assert made.run is not None
    said = (
        r"bare was compressed \(bare\), and 6 of its tensors, such as align\.image\.norm\.weight, no longer "
        "have the shapes of its recipe; give the run that it was made from"
    )
    later = recipe({"init": str(made.run.folder), "train.steps": 1})
    with pytest.raises(RunError, match=said):
        train(later, tmp_path / "later", registry=registry)
    with pytest.raises(RunError, match=said):
        merge([made.run.folder, full.folder], tmp_path / "merged", method="average", registry=registry)
