"""Class vectors are means over templates; accuracy is that of the nearest."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from fusion import DataError, Encoding, Model, Recipe
from fusion.evaluation import zero_shot
from fusion.evaluation.zero_shot import accuracy, prototypes

MakeRecipe, MakeModel = Callable[..., Recipe], Callable[[Recipe], Model]
RED, GREEN, BLUE = torch.eye(4)[:3]


@pytest.fixture
def model(toy_recipe: MakeRecipe, toy_model: MakeModel) -> Model:
    return toy_model(toy_recipe())


def test_a_class_is_the_mean_of_its_sentences_made_unit_length(model: Model) -> None:
    found = prototypes(model, "text", ["red", "green"], ["{}", "{} and blue"])
    sentences = torch.stack([RED, RED + BLUE, GREEN, GREEN + BLUE])
    vectors = model.align["text"](Encoding(sentences)).pooled.detach()  # (4, w)
    expected = F.normalize(torch.stack([vectors[0] + vectors[1], vectors[2] + vectors[3]]), dim=1)
    torch.testing.assert_close(found, expected)


def test_sentences_are_encoded_a_few_at_a_time(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    classes, templates = ["red", "green", "blue"], ["{}", "{} and blue", "a {}"]
    at_once = prototypes(model, "text", classes, templates)
    sizes: list[int] = []
    model.encoders["text"].register_forward_hook(lambda part, given, found: sizes.append(len(found.pooled)))
    monkeypatch.setattr(zero_shot, "BATCH", 4)
    torch.testing.assert_close(prototypes(model, "text", classes, templates), at_once)
    assert sizes == [4, 4, 1]


def test_braces_in_a_class_or_template_are_text(model: Model) -> None:
    found = prototypes(model, "text", ["red {x}", "green {"], ["{} or {y}"])
    torch.testing.assert_close(found, prototypes(model, "text", ["red", "green"], ["{}"]))


def test_a_class_that_makes_no_sentence_is_named(model: Model) -> None:
    with pytest.raises(DataError, match="text: 'a cat' is not a colour"):
        prototypes(model, "text", ["red", "cat"], ["a {}"])


def test_accuracy_is_how_often_the_nearest_class_is_the_label() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [0.0, 1.0]])
    classes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert accuracy(vectors, torch.tensor([0, 1, 1, 2]), classes) == 2 / 4
