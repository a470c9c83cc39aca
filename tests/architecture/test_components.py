"""A component of the core is one file and one line in builtin.py: nothing else in fusion/ knows it."""

import ast
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import torch

from fusion import Component, Registry, Run, hookimpl, merge, read_recipe, train
from fusion.attack import Norm
from fusion.mergings.average import Average
from fusion.picks import ATTACKS
from fusion.recipe.picks import FuserPick, Tune
from fusion.registry import HOOKS, Offer
from fusion.shrink.recipes import TEACHES
from fusion.transfer.rank import SORTING

ROOT = Path(__file__).parents[2]
BUILTIN = ROOT / "fusion" / "builtin.py"
FILES = {path: ast.parse(path.read_text("utf-8")) for path in sorted((ROOT / "fusion").rglob("*.py"))}
OFFERS = [offer for offer in Registry() if offer.origin.plugin == "builtin"]
ATTACKING = [pick.model_fields["name"].default for pick in ATTACKS.values()]
DEFAULTS = {
    FuserPick().name,
    Tune().mode,
    SORTING,
    TEACHES,
    *ATTACKING,
    *get_args(Norm),
}  # what a recipe, a ranking or a student has that says nothing
FOUND = {"corruption", "attack"}  # a function each, in a file of its own
NUMBERS = {"int8", "int4"}  # types of numbers, too, which embeddings and tensors are kept in

each = pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: f"{offer.kind}-{offer.component.name}")


def file_of(offer: Offer) -> Path:
    module, _, _ = str(offer.component.build).partition(":")
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def test_components_of_every_kind_that_the_core_has_are_looked_at() -> None:
    assert {offer.kind for offer in OFFERS} == HOOKS.keys() - {"encoder", "source"}
    assert len(OFFERS) > 43
    assert len(FILES) > 100


@each
def test_it_has_one_line_in_builtin_or_none_where_its_file_is_found(offer: Offer) -> None:
    lines = [line for line in BUILTIN.read_text("utf-8").splitlines() if f'"{offer.component.name}"' in line]
    if offer.kind in FOUND:
        assert lines == []
        return
    assert len(lines) == 1
    assert lines[0].strip().startswith(f'Component("{offer.component.name}", ')


@each
def test_no_other_file_names_it(offer: Offer) -> None:
    found = [
        path
        for path, tree in FILES.items()
        if path not in (BUILTIN, file_of(offer))
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value == offer.component.name
    ]
    assert found == [] or offer.component.name in DEFAULTS | NUMBERS


@each
def test_no_file_outside_of_its_folder_imports_it(offer: Offer) -> None:
    file, module = file_of(offer), str(offer.component.build).partition(":")[0]
    importing = [
        path
        for path, tree in FILES.items()
        if path.parent != file.parent
        for node in ast.walk(tree)
        if (isinstance(node, ast.ImportFrom) and node.module == module)
        or (isinstance(node, ast.Import) and module in [alias.name for alias in node.names])
    ]
    assert file.is_file()
    assert importing == []


def test_a_new_merging_is_a_class_and_a_component(tmp_path: Path) -> None:
    """What builtin.py does, a module of anybody does; the command and the run know no more of it."""

    @hookimpl
    def fusion_mergings() -> list[Component]:
        return [Component("plain-mean", Average)]

    module = ModuleType("mine")
    vars(module)["fusion_mergings"] = fusion_mergings
    registry = Registry(plugins={"mine": module})
    small = ["train.steps=1", "train.batch=8", "evaluate.sources={}"]
    runs = [
        train(read_recipe("bind_digits", [*small, f"train.seed={seed}"]), tmp_path / str(seed))
        for seed in (0, 1)
    ]
    merged = merge([run.folder for run in runs], tmp_path / "run", method="plain-mean", registry=registry)
    assert merged.manifest["merge"]["method"] == "plain-mean"
    assert torch.isfinite(_vector(merged)).all()
    assert not torch.equal(_vector(merged), _vector(runs[0]))


def _vector(run: Run) -> torch.Tensor:
    from safetensors.torch import load_file

    return torch.cat([value.double().flatten() for value in load_file(run.model_file).values()])
