"""What changes a key, and what does not."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fusion import Choices, Component, Encoder, Encoding, Processor, Registry, hookimpl
from fusion.batch import Target
from fusion.cache.columns import Modality, Targets
from fusion.cache.key import Key, encoder_key, name_of, probe, source_key
from fusion.recipe.picks import Pick


class Plain(Processor):
    def decode(self, raw: Any) -> Any:
        return raw


class Tower(Encoder):
    """An encoder with a file beside its weights."""

    def __init__(self, *, dim: int = 2) -> None:
        super().__init__()
        self.dim, self.processor, self.vocabulary = dim, Plain(), "a b c"
        self.layer = nn.Linear(2, dim)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(self.layer(x))

    def save_assets(self, folder: Path) -> None:
        (folder / "vocabulary").write_text(self.vocabulary)


def rows() -> list[Mapping[str, Any]]:
    return []


@pytest.fixture
def registry() -> Registry:
    module = ModuleType("made")

    @hookimpl
    def fusion_encoders() -> list[Component]:
        return [Component("tower", Tower, "image")]

    @hookimpl
    def fusion_sources() -> list[Component]:
        return [Component("rows", rows)]

    module.__dict__.update(fusion_encoders=fusion_encoders, fusion_sources=fusion_sources)
    return Registry(plugins={"made": module})


def test_an_encoder_is_told_by_options_weights_buffers_and_what_it_is_built_from(registry: Registry) -> None:
    torch.manual_seed(0)
    tower = Tower()

    def key(**options: Any) -> Key:
        return encoder_key(tower, Pick(name="tower", **options), registry)

    first = key()
    assert key() == first
    assert len(first["code"]) == 3  # the component, the class of the encoder and that of its processor
    keys = [first, key(dim=2)]
    with torch.no_grad():
        tower.layer.weight[0, 0] += 1e-6
    keys.append(key())
    tower.steps += 1
    keys.append(key())
    tower.vocabulary = "a b"
    keys.append(key())
    tower.origin = {"revision": "2"}
    keys.append(key())
    assert len({name_of(one) for one in keys}) == 6


IMAGE = Modality("image", Plain(), 4)


def told(registry: Registry, source: Any, column: Any = IMAGE, kept: Any = None, **options: Any) -> str:
    places = np.arange(len(source)) if kept is None else np.array(kept)
    pick = Pick(name="rows", **options)
    return name_of(source_key(pick, len(source), places, probe(source), column, registry))


def test_a_source_is_told_by_rows_that_lie_evenly_over_it(registry: Registry) -> None:
    source = [{"image": np.full((2, 2), row), "label": row} for row in range(1000)]
    first = told(registry, source)
    assert told(registry, [dict(row) for row in source]) == first
    assert told(registry, source[:-1]) != first
    assert told(registry, source, kept=range(10)) != first
    seen, unseen = list(source), list(source)
    seen[999] = {"image": np.zeros((2, 2)), "label": 999}
    unseen[500] = {"image": np.zeros((2, 2)), "label": 500}
    assert told(registry, seen) != first
    assert told(registry, unseen) == first  # as the guide says
    assert told(registry, [{**row, "label": 0} for row in source]) == first
    labels = Targets({"label": Target(torch.long)})
    assert told(registry, [{**row, "label": 0} for row in source], labels) != told(registry, source, labels)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a cat", "a dog"),
        (b"1", b"2"),
        (Image.new("L", (2, 2), 0), Image.new("L", (2, 2), 1)),
        ([1.0, 2.0], [1.0, 3.0]),
        ((np.zeros(4), 8000), (np.zeros(4), 16000)),
        (Choices(["a", "b"]), Choices(["a", "c"])),
        (Choices(["a"]), None),
    ],
)
def test_samples_of_every_form_are_told_apart_and_equal_ones_are_not(
    one: Any, other: Any, registry: Registry
) -> None:
    import copy

    assert told(registry, [{"image": one}]) == told(registry, [{"image": copy.deepcopy(one)}])
    assert told(registry, [{"image": one}]) != told(registry, [{"image": other}])


def test_a_source_whose_probed_row_fails_has_a_key(registry: Registry) -> None:
    class Failing(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            raise OSError("no disk")

    assert told(registry, Failing([1, 2])) != told(registry, [{}, {}])


def test_files_that_options_or_rows_name_are_told_by_size_and_time(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, photo = tmp_path / "data" / "train.csv", tmp_path / "photo.png"
    table.parent.mkdir()
    table.write_text("a,b")
    monkeypatch.setenv("PLACE", str(tmp_path))
    photo.write_bytes(b"1")
    for data in (str(table), str(table.parent), str(table.parent / "*.csv"), "$PLACE/data"):
        first = told(registry, [{}], data=data, more={"deep": [data, 1]})
        assert told(registry, [{}], data=data, more={"deep": [data, 1]}) == first
        table.write_text(table.read_text() + ",c")
        second = told(registry, [{}], data=data, more={"deep": [data, 1]})
        os.utime(table, (5, len(second) + table.stat().st_size))
        assert len({first, second, told(registry, [{}], data=data, more={"deep": [data, 1]})}) == 3
    source = [{"image": str(photo)}]
    first = told(registry, source)
    photo.write_bytes(b"22")
    assert told(registry, source) != first
