"""Checking a component as its plugin offers it."""

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from fusion import (
    Augmentation,
    Choices,
    Component,
    DataError,
    Embeddings,
    Encoder,
    Encoding,
    Fuser,
    PluginError,
    Processor,
    Registry,
    Stream,
    hookimpl,
    testing,
)


@pytest.fixture(autouse=True)
def _few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_BLOCK", "openclip,transformers,timm,datasets")  # whose libraries load slowly


class Rows:
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < 3:
            raise IndexError(index)
        return {"wave": np.full(2 + index, 0.5, np.float32), "label": index, "text": None}


class Waves(Processor):
    def decode(self, raw: Any) -> Any:
        if not isinstance(raw, np.ndarray):
            raise DataError("a wave is an array")
        return raw[:2]


class Good(Encoder):
    def __init__(self, *, dim: int = 4) -> None:
        super().__init__()
        self.dim = dim
        self.processor = Waves()
        self.net = nn.Linear(2, dim)

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(self.net(x))


class WrongWidth(Good):
    def __init__(self) -> None:
        super().__init__()
        self.dim = 5


class Flip(Augmentation):
    """Turns a wave upside down, or leaves it."""

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        if not isinstance(raw, np.ndarray):
            raise DataError("a wave is an array")
        return raw * rng.choice(np.array([-1, 1], np.float32))


class FlipToList(Flip):
    """Gives what itself reads, and the encoder does not."""

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        return super().__call__(np.asarray(raw) if isinstance(raw, list) else raw, rng, other).tolist()


class FlipAnything(Flip):
    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        return -raw


class RefusesAll(Flip):
    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        raise DataError("not for me")


class Careless(Fuser):
    def forward(self, embeddings: Embeddings) -> Tensor:
        return embeddings.tokens["text"].mean(1)


def registry(**hooks: list[Component]) -> Registry:
    """A registry with a plugin that offers these components."""
    plugin = ModuleType("plugin")

    def returning(components: list[Component]) -> Callable[[], list[Component]]:
        return lambda: components

    for name, components in hooks.items():
        setattr(plugin, name, hookimpl(returning(components)))
    return Registry({"waves": plugin})


def test_check_names_component_plugin_and_distribution() -> None:
    waves = registry(
        fusion_encoders=[Component("wide", WrongWidth, "wave")],
        fusion_sources=[Component("waves", Rows)],
    )
    who = r"encoder wide of plugin 'waves' \(given in Python\): pooled has shape \(3, 4\)"
    with pytest.raises(PluginError, match=who):
        testing.check(waves.find("encoder", "wide"), waves)


def test_check_takes_samples_from_a_source_of_the_same_plugin() -> None:
    waves = registry(
        fusion_encoders=[Component("good", Good, "wave", tiny={"dim": 2})],
        fusion_sources=[Component("waves", Rows)],
    )
    passed = testing.check(waves.find("encoder", "good"), waves)
    assert "forward gives an Encoding of shape (3, 2) and finite numbers" in passed


def test_check_says_when_no_source_has_the_modality() -> None:
    waves = registry(fusion_encoders=[Component("good", Good, "wave")])
    with pytest.raises(PluginError, match=r"no installed source has rows with 'wave'.*check_encoder\(build"):
        testing.check(waves.find("encoder", "good"), waves)


def test_check_says_when_no_encoder_reads_a_source() -> None:
    waves = registry(fusion_sources=[Component("waves", Rows)])
    hums = r"source waves .*: its rows have the keys label, wave; expected one that an installed"
    with pytest.raises(PluginError, match=hums):
        testing.check(waves.find("source", "waves"), waves)


def test_check_asks_for_tiny_options_where_an_option_is_required() -> None:
    def build(modalities: Sequence[str], width: int, *, rank: int) -> Fuser:
        return Careless(modalities, width)

    waves = registry(fusion_fusers=[Component("ranked", build)])
    with pytest.raises(PluginError, match=r"fuser ranked .*tiny\.rank: ranked needs this option.*tiny=\{"):
        testing.check(waves.find("fuser", "ranked"), waves)


def test_check_turns_any_error_of_a_component_into_words() -> None:
    waves = registry(fusion_fusers=[Component("careless", Careless)])
    with pytest.raises(PluginError, match=r"fuser careless of plugin 'waves' .* raised KeyError: 'text'"):
        testing.check(waves.find("fuser", "careless"), waves)


def with_waves(build: Callable[..., Any], source: Callable[..., Any] = Rows) -> Registry:
    return registry(
        fusion_encoders=[Component("good", Good, "wave")],
        fusion_sources=[Component("waves", source)],
        fusion_augmentations=[Component("flip", build)],
    )


@pytest.fixture
def _images_text_and_sounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_BLOCK", "features,timeseries")  # whose samples are arrays, as waves are


@pytest.mark.usefixtures("_images_text_and_sounds")
def test_an_augmentation_is_checked_on_the_modality_that_it_reads() -> None:
    waves = with_waves(Flip)
    passed = testing.check(waves.find("augmentation", "flip"), waves)
    assert passed[0] == "wave: it can be pickled and holds no weights"
    assert passed[-1] == "wave: the encoder good reads what it gives"
    assert {said.partition(":")[0] for said in passed} == {"wave"}  # and not image, text or audio


@pytest.mark.usefixtures("_images_text_and_sounds")
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (RefusesAll, r"it varies no sample .*; wave: not for me\); call fusion\.testing\.check_augmentation"),
        (FlipAnything, r"a sample of 'audio' raised TypeError.*; expected fusion\.DataError"),
        (FlipToList, r"it varies no sample .*; wave: the encoder good raised DataError\('a wave is an array"),
    ],
)
def test_a_faulty_augmentation_is_named(build: Callable[..., Any], message: str) -> None:
    waves = with_waves(build)
    with pytest.raises(PluginError, match=f"augmentation flip of plugin 'waves' .*{message}"):
        testing.check(waves.find("augmentation", "flip"), waves)


class ManyChoices(Rows):
    def __getitem__(self, index: int) -> dict[str, Any]:
        row = super().__getitem__(index)
        return row | {"wave": Choices([row["wave"], -row["wave"]])}


class Flow(Stream):
    def rows(self, part: int, parts: int, seed: int) -> Iterator[dict[str, Any]]:
        yield from (Rows()[place] for place in range(part, 3, parts))


@pytest.mark.parametrize(("source", "samples"), [(ManyChoices, 6), (Flow, 3)])
def test_samples_are_found_among_choices_and_in_streams(source: Callable[..., Any], samples: int) -> None:
    waves = with_waves(Flip, source)
    passed = testing.check(waves.find("encoder", "good"), waves)
    assert f"forward gives an Encoding of shape ({samples}, 4) and finite numbers" in passed
    assert testing.check(waves.find("source", "waves"), waves)[-1].endswith("of its rows: wave")
