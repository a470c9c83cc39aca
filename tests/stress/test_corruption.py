"""Which trials there are: what is offered for what an encoder reads, in the severities that are asked for."""

import pytest

from fusion import Recipe, Registry, RunError
from fusion.stress.corruption import Corruptions
from fusion.stress.stress import build
from tests.evaluation import toys
from tests.stress.toys import registry as harming


def recipe(**encoders: str) -> Recipe:
    return Recipe(
        sources={"all": {"name": "digits"}},
        encoders={name: {"name": component} for name, component in encoders.items()},
        objectives={"align": {"name": "contrastive"}},
        train={"steps": 1},
    )


THREE = recipe(image="scratch-image", text="scratch-text", audio="scratch-audio")


def trials(
    made: Recipe, registry: Registry, kinds: list[str], severities: list[float]
) -> list[tuple[str, str, float]]:
    return [
        tuple(trial)
        for trial in build("corruption", made, registry, kinds=kinds, severities=severities).trials
    ]


def test_each_modality_has_five_kinds_in_five_severities(registry: Registry) -> None:
    found = trials(THREE, registry, [], [])
    assert len(found) == len(set(found)) == 75
    assert {(damaged, kind.split("-")[0]) for damaged, kind, _ in found} == {
        (name, name) for name in ("image", "text", "audio")
    }


def test_kinds_and_severities_are_chosen(registry: Registry) -> None:
    assert trials(THREE, registry, ["audio-gaps", "image-blur"], [0, 5]) == [
        ("image", "image-blur", 0),
        ("image", "image-blur", 5),
        ("audio", "audio-gaps", 0),
        ("audio", "audio-gaps", 5),
    ]


def test_it_goes_by_what_an_encoder_reads_and_not_by_the_name_in_the_recipe(registry: Registry) -> None:
    made = recipe(photo="scratch-image", sketch="scratch-image", caption="scratch-text")
    assert trials(made, registry, ["image-jpeg"], [1]) == [
        ("photo", "image-jpeg", 1),
        ("sketch", "image-jpeg", 1),
    ]


def test_what_is_not_there_is_named(registry: Registry) -> None:
    said = "unknown corruption of this run's modalities 'image-blurr'; did you mean 'image-blur'"
    with pytest.raises(RunError, match=said):
        trials(THREE, registry, ["image-blurr"], [])
    with pytest.raises(RunError, match="'audio-gaps'; known: image-blur, image-contrast"):
        trials(recipe(image="scratch-image"), registry, ["audio-gaps"], [])
    for severity in (6, -1, 1.5):
        with pytest.raises(RunError, match=f"severity {severity:g}: corruptions have 1, 2, 3, 4 and 5"):
            trials(THREE, registry, [], [severity])
    with pytest.raises(RunError, match="unknown stress 'corrosion'; did you mean 'corruption'"):
        build("corrosion", THREE, registry, kinds=[], severities=[])


def test_a_modality_without_any_is_left_alone_and_a_run_without_any_is_an_error() -> None:
    made = toys.recipe(toys.registry())
    found = trials(made, harming(), [], [1])
    assert {damaged for damaged, _, _ in found} == {"sight", "sound", "text"}
    data = made.model_dump()
    del data["encoders"]["text"]
    alone = Recipe(**data)
    with pytest.raises(
        RunError, match="no plugin offers a corruption of sight, sound; see fusion_corruptions"
    ):
        Corruptions(alone, toys.registry(), kinds=[], severities=[])
