"""Sentences around a text, mistyped letters, missing words."""

import numpy as np
import pytest

from fusion.augmentations.text import TextDropout, TextTemplate, TextTypo
from tests.augmentations.toys import vary


def test_a_text_is_put_into_every_template_alike_often() -> None:
    template = TextTemplate(templates=["{}", "a photo of {}", "{}, or what {} is"])
    found = [vary(template, " a dog\n", seed) for seed in range(600)]
    assert set(found) == {"a dog", "a photo of a dog", "a dog, or what a dog is"}
    assert 150 < found.count("a photo of a dog") < 250  # 200 on average, 4 standard deviations are 46


def test_braces_in_a_text_are_left_alone() -> None:
    assert vary(TextTemplate(templates=["<{}>"]), "{0} {x} {}") == "<{0} {x} {}>"


def test_a_template_without_a_place_for_the_text_is_named() -> None:
    with pytest.raises(ValueError, match=r"the template 'a photo' has no \{\}, where the text goes"):
        TextTemplate(templates=["{}", "a photo"])


@pytest.mark.parametrize("text", ["0123456789", "漢字 und Ü\n\0 x"])
def test_mistyping_replaces_some_characters_by_letters(text: str) -> None:
    typed = [vary(TextTypo(strength=0.5), text, seed) for seed in range(400)]
    assert {len(found) for found in typed} == {len(text)}
    changed = [[new for new, old in zip(found, text, strict=True) if new != old] for found in typed]
    assert set("".join("".join(letters) for letters in changed)) <= set("abcdefghijklmnopqrstuvwxyz")
    # the share is uniform in 0..0.5: a quarter on average; 4 standard errors of 400 texts are 0.05
    assert np.mean([len(letters) / len(text) for letters in changed]) == pytest.approx(0.25, abs=0.05)


def test_each_word_is_left_out_with_the_same_probability() -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    found = [vary(TextDropout(strength=0.3), " ".join(words), seed).split() for seed in range(1000)]
    for text in found:
        assert text == [word for word in words if word in text]  # in their order
    for word in words:
        assert np.mean([word in text for text in found]) == pytest.approx(0.7, abs=0.06)  # 4 standard errors


def test_one_word_at_least_stays_and_it_may_be_any() -> None:
    found = {vary(TextDropout(strength=0.999), "one two three", seed) for seed in range(100)}
    assert found >= {"one", "two", "three"}
    assert "" not in found


def test_a_strength_of_zero_leaves_a_text_as_it_is() -> None:
    text = "two  spaces,\nnext line"
    for augmentation in (TextTypo(strength=0), TextDropout(strength=0), TextTemplate(templates=["{}"])):
        assert vary(augmentation, f" {text} ", 1) == text


def test_a_single_word_is_never_left_out() -> None:
    assert {vary(TextDropout(strength=0.9), "word", seed) for seed in range(50)} == {"word"}
