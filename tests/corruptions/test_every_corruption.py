"""What holds for every corruption: the contract on odd samples, forms, sizes, and what cannot be read."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusion import Component, DataError, builtin, decode
from fusion.corruption import SEVERITIES
from fusion.testing import check_corruption
from tests.augmentations.test_every_augmentation import SAMPLES, UNREADABLE

COMPONENTS = {component.name: component for component in builtin.fusion_corruptions()}
ALL = pytest.mark.parametrize("component", COMPONENTS.values(), ids=COMPONENTS)


def damaged(component: Component, raw: Any, severity: int, seed: int = 0) -> Any:
    return component.resolve()(raw, severity, np.random.default_rng(seed))


def test_there_are_five_or_more_for_each_modality() -> None:
    found = [component.modality for component in COMPONENTS.values()]
    assert set(found) == {"image", "audio", "text"}
    assert all(found.count(modality) >= 5 for modality in found)
    assert all(component.name.startswith(f"{component.modality}-") for component in COMPONENTS.values())


@ALL
def test_it_keeps_the_contract_on_odd_samples(component: Component) -> None:
    assert component.modality is not None
    assert len(check_corruption(component.resolve(), SAMPLES[component.modality])) == 6


@ALL
def test_what_it_gives_is_read_and_has_the_size_that_was_given(component: Component) -> None:
    assert component.modality is not None
    for row, raw in enumerate(SAMPLES[component.modality]):
        for severity in SEVERITIES:
            given = damaged(component, raw, severity, row)
            if component.modality == "image":
                assert isinstance(given, Image.Image)
                assert (given.mode, given.size) == ("RGB", decode.image(raw).size)
            elif component.modality == "audio":
                wave, rate = decode.sound(raw)
                assert (given[0].shape, given[0].dtype, given[1]) == (wave.shape, wave.dtype, rate)
                assert np.isfinite(given[0]).all()
            else:
                assert decode.text(given) == given


@ALL
def test_a_sample_that_cannot_be_read_is_refused(component: Component) -> None:
    for raw in UNREADABLE[str(component.modality)]:
        with pytest.raises(DataError):
            damaged(component, raw, 1)
