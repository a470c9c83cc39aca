"""Run folders written by hand, and the toy plugin with which the trainings of these tests are small."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fusion import Run
from fusion.recipe.text import dump
from fusion.studies.compare import Comparison, Group, compare
from fusion.studies.names import Version
from tests.training.conftest import installed, python, registry, torchrun, toy
from tests.training.toys import recipe

__all__ = ["installed", "python", "registry", "torchrun", "toy"]

ACCURACY = "subsets/image/accuracy"


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Run]:
    """Write a finished run by hand; changes of the recipe are dotted."""

    def write(
        name: str, metrics: Mapping[str, Any], changes: Mapping[str, Any] | None = None, **manifest: Any
    ) -> Run:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        content = recipe(dict(changes or {})).model_dump(mode="json")
        (folder / "recipe.yaml").write_text(dump(content), "utf-8")
        (folder / "metrics.json").write_text(json.dumps(metrics), "utf-8")
        (folder / "manifest.json").write_text(json.dumps({"files": {}, **manifest}), "utf-8")
        return Run(folder)

    return write


@pytest.fixture
def compared(made: Callable[..., Run]) -> Callable[..., Comparison]:
    """Compare versions that are given as accuracies by seed, or as metrics by seed, by their parts."""

    def build(
        versions: Mapping[tuple[str, ...], list[Any]],
        amounts: Mapping[tuple[str, ...], float] | None = None,
        changes: Mapping[tuple[str, ...], Mapping[str, Any]] | None = None,
        origins: tuple[tuple[str, ...], ...] = (),
        **options: Any,
    ) -> Comparison:
        groups = []
        for parts, values in versions.items():
            runs = {
                seed: made(
                    f"{'-'.join(parts)}-{seed}",
                    value if isinstance(value, dict) else {ACCURACY: value},
                    {"train.seed": seed, **(changes or {}).get(parts, {})},
                )
                for seed, value in enumerate(values)
            }
            version = Version(parts, (amounts or {}).get(parts), parts not in origins)
            groups.append(Group(version, runs))
        return compare(groups, **options)

    return build
