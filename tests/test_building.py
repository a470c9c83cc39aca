"""A component may pick another one as an option: it is checked, completed, built and saved with it."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fusion import (
    Augmentation,
    Component,
    DataError,
    Encoder,
    Encoding,
    PluginError,
    Processor,
    Recipe,
    RecipeError,
    Registry,
    hookimpl,
    load,
    read_recipe,
    train,
)
from fusion.build import build_augmentations, build_model
from fusion.cache.key import encoder_key
from fusion.picks import complete, shrink
from fusion.recipe.picks import Pick

RECIPE = """\
sources:
  all: {name: pairs}
encoders:
  image:
    name: twice
    inner:
      name: scratch-image
      size: 16
{more}  text: {name: scratch-text, dim: 16}
width: 16
objectives:
  near: {name: contrastive}
train: {steps: 1, batch: 8}
"""


class Words(Processor):
    def __init__(self, word: str) -> None:
        self.word = word

    def decode(self, raw: Any) -> Tensor:
        if not isinstance(raw, np.ndarray):
            raise DataError("an array expected")
        return torch.tensor([float(len(self.word))])


class Named(Encoder):
    """Is built from a word that it leaves in its assets."""

    def __init__(self, assets: Path | None = None, *, word: str = "a") -> None:
        super().__init__()
        self.word = (assets / "word.txt").read_text() if assets else word.upper()
        self.dim, self.processor, self.net = 4, Words(self.word), nn.Linear(1, 4)
        self.origin = {} if assets else {"model": "a word"}

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(self.net(x))

    def save_assets(self, folder: Path) -> None:
        (folder / "word.txt").write_text(self.word)


class Twice(Encoder):
    """Adds up what two encoders give, the second of which may be left out."""

    def __init__(self, *, inner: Encoder, other: Encoder | None = None, factor: float = 2.0) -> None:
        super().__init__()
        self.inner, self.other, self.factor = inner, other, factor
        self.dim, self.processor, self.origin = inner.dim, inner.processor, inner.origin

    def forward(self, **inputs: Tensor) -> Encoding:
        pooled = self.inner(**inputs).pooled
        return Encoding(self.factor * pooled + (0 if self.other is None else self.other(**inputs).pooled))


class Sometimes(Augmentation):
    def __init__(self, *, step: Augmentation) -> None:
        self.step = step

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        return self.step(raw, rng, other) if rng.random() < 0.5 else raw


class Brighter(Augmentation):
    def __init__(self, *, by: int = 1) -> None:
        self.by = by

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        return raw + np.uint8(self.by)


class Pairs:
    def __init__(self, *, kind: Literal["plain"] = "plain") -> None:
        self.kind = kind

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < 16:
            raise IndexError(index)
        return {"image": np.full((16, 16, 3), 10 * index, np.uint8), "text": f"number {index}"}


@pytest.fixture
def registry() -> Registry:
    @hookimpl
    def fusion_encoders() -> list[Component]:
        return [
            Component("named", Named, "image", tiny={"word": "tiny"}),
            Component("twice", Twice, "image", tiny={"inner": {"name": "named"}, "factor": 3.0}),
        ]

    @hookimpl
    def fusion_augmentations() -> list[Component]:
        return [Component("sometimes", Sometimes), Component("brighter", Brighter)]

    @hookimpl
    def fusion_sources() -> list[Component]:
        return [Component("pairs", Pairs)]

    module = ModuleType("mine")
    vars(module).update(
        fusion_encoders=fusion_encoders,
        fusion_augmentations=fusion_augmentations,
        fusion_sources=fusion_sources,
    )
    return Registry(plugins={"mine": module})


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(more: str = "") -> Path:
        path = tmp_path / "pairs.yaml"
        path.write_text(RECIPE.replace("{more}", more))
        return path

    return write


def test_what_is_picked_within_is_completed_and_built(
    written: Callable[..., Path], registry: Registry
) -> None:
    recipe = read_recipe(written("      dim: 8\n"), registry=registry)
    options = complete(recipe, registry).encoders["image"].options
    assert options == {"inner": {"name": "scratch-image", "size": 16, "dim": 8}, "other": None, "factor": 2.0}
    encoder = build_model(complete(recipe, registry), registry).encoders["image"]
    assert isinstance(encoder, Twice)
    assert type(encoder.inner).__name__ == "ScratchImage"
    assert (encoder.inner.dim, encoder.other) == (8, None)


def test_what_is_picked_within_may_pick_as_well(written: Callable[..., Path], registry: Registry) -> None:
    changes = ["encoders.image.inner={name: twice, inner: {name: named, word: deep}}"]
    recipe = complete(read_recipe(written(), changes, registry), registry)
    encoder = build_model(recipe, registry).encoders["image"]
    assert isinstance(encoder, Twice)
    assert isinstance(encoder.inner, Twice)
    assert isinstance(encoder.inner.inner, Named)
    assert encoder.inner.inner.word == "DEEP"


def test_a_mistake_within_has_its_line_and_the_options_there_are(
    written: Callable[..., Path], registry: Registry
) -> None:
    with pytest.raises(RecipeError, match=r"pairs\.yaml:9.*encoders\.image\.inner\.dims.*did you mean 'dim'"):
        read_recipe(written("      dims: 8\n"), registry=registry)
    with pytest.raises(RecipeError, match=r"encoders\.image\.inner\.size: 'big' does not fit"):
        read_recipe(written(), ["encoders.image.inner.size=big"], registry)
    with pytest.raises(RecipeError, match=r"encoders\.image\.inner\.name: unknown encoder 'scratch-imag'"):
        read_recipe(written(), ["encoders.image.inner.name=scratch-imag"], registry)


@pytest.mark.parametrize("given", ["scratch-image", "null", "3", "{size: 16}"])
def test_what_picks_nothing_is_told_how(given: str, written: Callable[..., Path], registry: Registry) -> None:
    with pytest.raises(RecipeError, match=r"inner: .* picks no encoder; write it as \{name: NAME\}"):
        read_recipe(written(), [f"encoders.image.inner={given}"], registry)


def test_another_kind_is_refused(written: Callable[..., Path], registry: Registry) -> None:
    with pytest.raises(RecipeError, match=r"encoders\.image\.inner\.name: unknown encoder 'brighter'"):
        read_recipe(written(), ["encoders.image.inner={name: brighter}"], registry)


def test_options_within_that_do_not_fit_together_are_told_by_their_path(
    written: Callable[..., Path], registry: Registry
) -> None:
    recipe = read_recipe(written("      dim: 6\n"), registry=registry)
    with pytest.raises(RecipeError, match=r"encoders\.image\.inner: scratch-image: size \(16\) must be"):
        build_model(complete(recipe, registry), registry)


def test_what_is_not_what_it_says_is_named(written: Callable[..., Path], registry: Registry) -> None:
    @hookimpl
    def fusion_encoders() -> list[Component]:
        return [Component("fake", lambda: "no encoder", "image")]

    module = ModuleType("fake")
    vars(module)["fusion_encoders"] = fusion_encoders
    registry.add("fake", module)
    recipe = complete(read_recipe(written(), ["encoders.image.inner={name: fake}"], registry), registry)
    with pytest.raises(PluginError, match=r"fake of plugin 'fake' .* builds a str, not a fusion\.Encoder"):
        build_model(recipe, registry)


def test_the_tiny_form_is_tiny_within_and_leaves_the_plugin_as_it_was(
    written: Callable[..., Path], registry: Registry
) -> None:
    for _ in range(2):
        small = shrink(read_recipe(written(), registry=registry), registry)
        assert small.encoders["image"].options == {
            "inner": {"name": "named", "word": "tiny"},
            "other": None,
            "factor": 3.0,
        }
    assert registry.find("encoder", "twice").component.tiny["inner"] == {"name": "named"}


def test_a_run_has_the_assets_and_the_plugins_of_what_is_within(
    written: Callable[..., Path], registry: Registry, tmp_path: Path
) -> None:
    changes = [
        "encoders.image={name: twice, inner: {name: named, word: w}, other: {name: named, word: other}}"
    ]
    run = train(read_recipe(written(), changes, registry), tmp_path / "run", registry=registry)
    kept = {path.relative_to(run.assets).as_posix() for path in run.assets.rglob("*") if path.is_file()}
    assert kept == {"image/inner/word.txt", "image/other/word.txt"}
    assert kept <= {name.removeprefix("encoders/") for name in run.manifest["files"]}
    assert {"mine", "scratch"} <= run.manifest["plugins"].keys()
    assert run.manifest["weights"]["image"] == {"model": "a word"}
    encoder = load(run, registry=registry).model.encoders["image"]
    assert isinstance(encoder, Twice)
    assert isinstance(encoder.inner, Named)
    assert isinstance(encoder.other, Named)
    assert (encoder.inner.word, encoder.other.word) == ("W", "OTHER")
    assert dict(encoder.inner.origin) == {}  # it came from its assets


def test_the_cache_tells_apart_what_is_within(registry: Registry) -> None:
    pick = Pick(name="twice")
    one = encoder_key(Twice(inner=Named(word="a")), pick, registry)
    assert one["assets"].keys() == {"inner/word.txt"}
    assert len(one["code"]) == 5  # the component; two classes and their processors, the same one twice
    assert encoder_key(Twice(inner=Named(word="b")), pick, registry)["assets"] != one["assets"]


def test_an_augmentation_may_pick_one_too(registry: Registry) -> None:
    recipe = Recipe(
        sources={"all": {"name": "pairs"}},
        encoders={"image": {"name": "scratch-image"}},
        augment={"image": [{"name": "sometimes", "step": {"name": "brighter", "by": 5}}]},
        objectives={"near": {"name": "contrastive"}},
        train={"steps": 1},
    )
    [chance] = build_augmentations(complete(recipe, registry), registry)["image"]
    raw, rng = np.zeros((2, 2, 3), np.uint8), np.random.default_rng(0)
    given = {int(chance.augmentation(raw, rng, lambda: None).max()) for _ in range(20)}
    assert given == {0, 5}
