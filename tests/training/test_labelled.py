"""The labelled rows that candidates are ranked by: which they are, and what is told of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fusion import DataError, Labelled, Recipe, Registry, Run, load, train
from fusion.build import build_sources
from fusion.data.order import Order
from fusion.picks import complete
from fusion.transfer.initial import initial_model
from fusion.transfer.labelled import labelled
from tests.training.toys import recipe

PLACES = Order({"seen": 24, "heard": 17}, {"seen": 2, "heard": 1}, 6, 0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def earlier(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a task before the one that classifies, one of whose tunings has to be merged."""
    objectives = {"value": {"name": "regress", "target": "value"}, "kind": {"name": "classify", "classes": 3}}
    lora = {"mode": "lora", "rank": 2}
    made = recipe({"objectives": objectives, "encoders.text.tune": lora})
    return train(made, tmp_path_factory.mktemp("earlier") / "run", registry=registry)


def look(made: Recipe, registry: Registry, most: int = 1000, **more: Any) -> dict[str, Labelled]:
    return labelled(complete(made, registry), registry, CPU, most, **more).rows


def rows_of(made: Recipe, registry: Registry, most: int = 1000) -> list[dict[str, Any]]:
    """The rows of both sources, in the order of the training, each once."""
    sources = list(build_sources(made.sources, registry).values())
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for step in range(20):
        slots = PLACES(step)
        for source, row in zip(slots.source.tolist(), slots.row.tolist(), strict=True):
            found.setdefault((source, row), dict(sources[source][row]))
    assert len(found) == 24 + 17
    return list(found.values())[:most]


@pytest.mark.parametrize("most", [10, 1000])
def test_they_are_the_first_of_the_training_each_once_by_modality(most: int, registry: Registry) -> None:
    made = recipe()
    found = look(made, registry, most)
    torch.manual_seed(made.train.seed)
    model, _ = initial_model(complete(made, registry), registry)
    model.eval()
    rows = rows_of(made, registry, most)
    assert list(found) == ["image", "text", "audio"]
    assert sum(len(found[name].labels) for name in ("image", "audio")) == min(most, 41)
    for name, told in found.items():
        having = [row for row in rows if name in row]
        with torch.no_grad():
            expected = model.encoders[name](
                torch.tensor([row[name] for row in having], dtype=torch.float32)
            ).pooled
        np.testing.assert_allclose(told.vectors, expected.numpy(), atol=1e-6)
        numbers = {label: number for number, label in enumerate(sorted({row["label"] for row in having}))}
        assert told.labels.tolist() == [numbers[row["label"]] for row in having]  # without gaps
        assert told.vectors.dtype == np.float64
        assert told.source is None


def test_one_modality_can_be_asked_for(registry: Registry) -> None:
    made = recipe({"sources.heard.broken": [*range(17)]})  # its sounds, which are not looked at
    found, bad, _ = labelled(complete(made, registry), registry, CPU, 1000, "text")
    assert (list(found), bad) == (["text"], [])
    assert len(found["text"].labels) == 41


def test_rows_that_cannot_be_read_are_left_out_and_told(registry: Registry) -> None:
    made = recipe({"sources.heard.broken": [3, 5]})
    found, bad, _ = labelled(complete(made, registry), registry, CPU, 1000)
    assert len(found["audio"].labels) == 15
    assert sorted((row.source, row.row) for row in bad) == [("heard", 3), ("heard", 5)]


def test_a_run_that_classifies_says_how_probable_its_classes_are(earlier: Run, registry: Registry) -> None:
    found = look(recipe({"init": str(earlier.folder)}), registry)
    model = load(earlier, "cpu", registry)
    for name, told in found.items():
        having = [{name: row[name]} for row in rows_of(earlier.recipe, registry) if name in row]
        expected = model.predict(having)["kind"].score.numpy()
        np.testing.assert_allclose(told.source, expected, atol=1e-5)
        np.testing.assert_allclose(told.source.sum(axis=1), 1, atol=1e-6)


def test_vectors_are_those_of_the_run_that_is_started_from(earlier: Run, registry: Registry) -> None:
    found = look(recipe({"init": str(earlier.folder)}), registry)
    trained = load(earlier, "cpu", registry).model.encoders
    rows = rows_of(earlier.recipe, registry)
    for name, told in found.items():
        with torch.no_grad():
            given = torch.tensor([row[name] for row in rows if name in row], dtype=torch.float32)
            expected = trained[name](given).pooled
        np.testing.assert_allclose(told.vectors, expected.numpy(), atol=1e-6)


def test_without_a_run_that_has_the_modality_and_classifies_it_says_nothing(
    earlier: Run, registry: Registry, tmp_path: Path
) -> None:
    save_file(dict(load(earlier, "cpu", registry).model.state_dict()), tmp_path / "bare.safetensors")
    bare = look(recipe({"init": str(tmp_path / "bare.safetensors")}), registry)
    assert {told.source for told in bare.values()} == {None}
    changes = {"encoders": {"text": {"name": "toy-text"}}, "augment": {}}
    deaf = train(
        recipe(changes | {"objectives": {"kind": {"name": "classify", "classes": 3}}}),
        tmp_path / "deaf",
        registry=registry,
    )
    found = look(recipe({"init": str(deaf.folder)}), registry)
    assert {name for name, told in found.items() if told.source is not None} == {"text"}
    mute = train(
        recipe(changes | {"objectives": {"still": {"name": "toy-still"}}}),
        tmp_path / "mute",
        registry=registry,
    )
    assert look(recipe({"init": str(mute.folder)}), registry)["text"].source is None


def test_encoders_of_which_nothing_was_taken_are_told(earlier: Run, registry: Registry) -> None:
    wide = complete(
        recipe({"init": str(earlier.folder), "encoders.audio": {"name": "toy-audio", "dim": 5}}), registry
    )
    assert labelled(wide, registry, CPU, 100).new == ["encoders.audio"]
    assert labelled(wide, registry, CPU, 100, "text").new == []
    assert labelled(complete(recipe(), registry), registry, CPU, 100).new == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"evaluate": {"target": "kind"}},
            "no row of sources has the target 'kind' and image, text or audio; name another in",
        ),
        (
            {"evaluate": {"target": "text"}},
            r"name another in evaluate\.target; row \d+ of \w+ cannot be read: target 'text' has shape",
        ),
        (
            {"sources": {"one": {"name": "toy", "rows": 1}}, "train.batch": 1},
            r"the 1 labelled rows with image are all of one class \(0\); give rows of two classes at least",
        ),
        (
            {"sources.seen.infinite": [*range(24)]},
            r"encoders\.text \(toy-text of plugin 'toy' .*\) gave NaN or infinity",
        ),
        (
            {"sources": {"all": {"name": "toy-stream"}}},
            "sources.all is a stream, which can only be trained on",
        ),
        (
            {"sources": {"all": {"name": "toy", "rows": 5}}},
            "'all' has 5 rows, but a batch of 6 takes 6 of it",
        ),
    ],
)
def test_rows_that_tell_nothing_are_refused(changes: dict[str, Any], said: str, registry: Registry) -> None:
    with pytest.raises(DataError, match=said):
        look(recipe(changes), registry)
