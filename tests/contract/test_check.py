"""Checking a component as its plugin offers it."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from fusion import (
    Component,
    DataError,
    Embeddings,
    Encoder,
    Encoding,
    Fuser,
    PluginError,
    Processor,
    Registry,
    hookimpl,
    testing,
)


class Rows:
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < 3:
            raise IndexError(index)
        return {"wave": np.full(2 + index, 0.5, np.float32), "label": index, "text": None}


class Waves(Processor):
    def decode(self, raw: Any, rng: np.random.Generator | None) -> Any:
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
