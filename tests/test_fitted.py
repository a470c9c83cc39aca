"""Options that follow from the rows of the training: read off its sources alone, and written into the run."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fusion import (
    Choices,
    Component,
    DataError,
    Encoder,
    Encoding,
    PluginError,
    Processor,
    Recipe,
    Registry,
    RunError,
    Stream,
    hookimpl,
    load,
    train,
)
from fusion.errors import RecipeError
from fusion.fitted import ROWS, fitted
from fusion.picks import complete, shrink


class Numbers(Processor):
    def __init__(self, largest: float) -> None:
        self.largest = largest

    def decode(self, raw: Any) -> Tensor:
        if not isinstance(raw, float):
            raise DataError("a number expected")
        return torch.tensor([raw / self.largest])


class Shared(Encoder):
    """Divides by the largest number of the training."""

    def __init__(self, *, largest: float | None = None, dim: int = 4) -> None:
        super().__init__()
        if largest is None:
            raise ValueError("largest is not fitted")
        self.dim, self.processor, self.net = dim, Numbers(largest), nn.Linear(1, dim)

    @classmethod
    def fit(cls, samples: Iterable[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        return {"largest": max((raw for raw in samples if isinstance(raw, float)), default=None), "dim": 99}

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(self.net(x))


class Failing(Shared):
    @classmethod
    def fit(cls, samples: Iterable[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("of its own")


class Rows:
    """Rows 1.0, 2.0 ... times `scale`; every third has none, the fifth cannot be read."""

    def __init__(self, *, scale: float = 1.0, rows: int = 9, names: tuple[str, ...] = ("one", "two")) -> None:
        self.scale, self.rows, self.names = scale, rows, names

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.rows:
            raise IndexError(index)
        if index == 4:
            raise DataError("torn")
        row: dict[str, Any] = {"label": index % 2}
        if index % 3 < 2:
            row |= dict.fromkeys(self.names, self.scale * (index + 1))
        return row


class Several(Rows):
    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"one": Choices([1.0, 7.0 + index]), "two": "no number", "label": 0}


class Flow(Stream):
    def rows(self, part: int, parts: int, seed: int) -> Any:
        assert (part, parts, seed) == (0, 1, 0)
        while True:
            yield {"one": 3.0, "two": 4.0, "label": 1}


@pytest.fixture
def registry() -> Registry:
    @hookimpl
    def fusion_encoders() -> list[Component]:
        return [Component("shared", Shared, "number"), Component("failing", Failing, "number")]

    @hookimpl
    def fusion_sources() -> list[Component]:
        return [Component("rows", Rows), Component("several", Several), Component("flow", lambda: Flow())]

    module = ModuleType("mine")
    vars(module).update(fusion_encoders=fusion_encoders, fusion_sources=fusion_sources)
    return Registry(plugins={"mine": module})


def recipe(sources: Mapping[str, Any], encoder: Mapping[str, Any] | None = None, **more: Any) -> Recipe:
    chosen = dict(encoder or {"name": "shared"})
    return Recipe(
        sources=dict(sources),
        encoders={"one": chosen, "two": chosen},
        width=4,
        objectives={"kind": {"name": "classify", "classes": 2}},
        train={"steps": 2, "batch": 4},
        **more,
    )


def largest(wanted: Recipe, registry: Registry) -> list[Any]:
    found = fitted(complete(wanted, registry), registry)
    return [pick.options["largest"] for pick in found.encoders.values()]


def test_it_follows_from_all_training_sources_and_from_no_other(registry: Registry) -> None:
    sources = {"few": {"name": "rows"}, "large": {"name": "rows", "scale": 10.0, "names": ["two"]}}
    measured = {"sources": {"test": {"name": "rows", "scale": 1000.0}}}
    # rows 0, 1, 3, 6 and 7 can be read and have a number
    assert largest(recipe(sources, evaluate=measured), registry) == [8.0, 80.0]


def test_what_the_training_is_not_to_know_is_not_looked_at(registry: Registry) -> None:
    sources = {"few": {"name": "rows"}, "large": {"name": "rows", "scale": 10.0, "without": ["one"]}}
    assert largest(recipe(sources), registry) == [8.0, 80.0]


def test_an_option_of_the_recipe_stays_and_so_do_the_others(registry: Registry) -> None:
    wanted = recipe({"few": {"name": "rows"}}, {"name": "shared", "largest": 2.0})
    found = fitted(complete(wanted, registry), registry)
    assert [pick.options for pick in found.encoders.values()] == [{"largest": 2.0, "dim": 4}] * 2


def test_every_choice_counts_and_a_stream_is_read_from_its_start(registry: Registry) -> None:
    assert largest(recipe({"a": {"name": "several", "rows": 3}}), registry) == [9.0, None]
    assert largest(recipe({"a": {"name": "flow"}}), registry) == [3.0, 4.0]


def test_of_many_rows_some_are_looked_at_evenly(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusion.fitted.ROWS", 3)
    assert ROWS == 10_000
    wanted = recipe({"all": {"name": "rows", "rows": 14}})  # rows 0, 6 and 13
    assert largest(wanted, registry) == [14.0, 14.0]


def test_an_encoder_that_cannot_be_fitted_is_named(registry: Registry) -> None:
    wanted = complete(recipe({"all": {"name": "rows"}}, {"name": "failing"}), registry)
    with pytest.raises(PluginError, match=r"encoders\.one: failing of plugin 'mine' .* ZeroDivisionError"):
        fitted(wanted, registry)


def test_a_training_that_has_nothing_to_fit_to_says_so(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"encoders\.two: shared: largest is not fitted"):
        train(recipe({"a": {"name": "several"}}), tmp_path / "run", registry=registry)


def test_a_run_holds_what_was_fitted_and_goes_on_only_with_the_same(
    registry: Registry, tmp_path: Path
) -> None:
    run = train(recipe({"all": {"name": "rows"}}), tmp_path / "run", registry=registry)
    assert [pick.options["largest"] for pick in run.recipe.encoders.values()] == [8.0, 8.0]
    processors = load(run, registry=registry).model.processors
    assert processors["two"].decode(4.0) == 0.5
    (run.folder / "manifest.json").unlink()
    again = recipe({"all": {"name": "rows", "rows": 4}})
    with pytest.raises(RunError, match=r"another recipe; these keys differ: .*encoders\.one\.largest"):
        train(again, run.folder, resume=True, registry=registry)
    (run.folder / "model.safetensors").unlink()
    done = train(recipe({"all": {"name": "rows"}}), run.folder, resume=True, registry=registry)
    assert done.finished


def test_a_tiny_training_is_fitted_as_well(registry: Registry, tmp_path: Path) -> None:
    small = shrink(recipe({"all": {"name": "rows"}}), registry)
    run = train(small, tmp_path / "run", registry=registry)
    assert run.recipe.encoders["one"].options == {"largest": 8.0, "dim": 4}
    assert np.isfinite(run.metrics["train/seconds"])
