"""What each corruption of a text does, letter by letter."""

import unicodedata
from typing import Any

import numpy as np
import pytest

from fusion import builtin
from fusion.corruption import SEVERITIES
from fusion.corruptions.text.case import case
from fusion.corruptions.text.homoglyphs import HOMOGLYPHS, homoglyphs
from fusion.corruptions.text.keyboard import keyboard, keys_beside
from fusion.corruptions.text.truncation import truncation
from fusion.corruptions.text.word_drop import word_drop

LINE = "The quick brown Fox jumps over the lazy dog, 7 times. " * 20
LONG = LINE.strip()


KINDS = {kind.name: kind for kind in builtin.fusion_corruptions()}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def changed(one: str, other: str) -> list[int]:
    assert len(one) == len(other)
    return [place for place, (mine, yours) in enumerate(zip(one, other, strict=True)) if mine != yours]


def test_the_keys_beside_a_key_are_those_of_a_keyboard() -> None:
    beside = {letter: set(keys_beside(letter)) for letter in "agqpzmGM"}
    assert beside == {
        "a": set("sqwz"),
        "g": set("fhtyvb"),
        "q": set("wa"),
        "p": set("ol"),
        "z": set("xas"),
        "m": set("njk"),
        "G": set("FHTYVB"),
        "M": set("NJK"),
    }
    letters = "abcdefghijklmnopqrstuvwxyz"
    assert all(letter in keys_beside(other) for letter in letters for other in keys_beside(letter))
    assert [keys_beside(other) for other in ("7", ",", "é", "ß", "İ")] == [""] * 5


@pytest.mark.parametrize(("severity", "share"), list(enumerate([0.05, 0.1, 0.15, 0.2, 0.3], 1)))
def test_typing_errors_hit_a_share_of_the_letters_and_a_key_beside(severity: int, share: float) -> None:
    typed = keyboard(LONG, severity, rng())
    places = changed(LONG, typed)
    letters = sum(one.isalpha() for one in LONG)
    assert len(places) / letters == pytest.approx(share, abs=0.03)
    assert all(typed[place] in keys_beside(LONG[place]) for place in places)


def test_case_is_turned_and_at_the_last_severity_everywhere() -> None:
    for severity in SEVERITIES:
        turned = case(LONG, severity, rng())
        assert turned.lower() == LONG.lower()
        letters = sum(one.isalpha() for one in LONG)
        assert len(changed(LONG, turned)) / letters == pytest.approx(0.2 * severity, abs=0.04)
    assert case("Seven up", 5, rng()) == "sEVEN UP"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("0123456789", ["01234567", "0123456", "01234", "0123", "01"]),
        ("a", ["a"] * 5),
        ("one two", ["one tw", "one t", "one", "one", "on"]),
    ],
)
def test_truncation_keeps_the_first_characters(given: str, kept: list[str]) -> None:
    assert [truncation(given, severity, rng()) for severity in SEVERITIES] == kept


def test_words_are_lost_by_their_probability_and_never_all() -> None:
    words = [f"word{number}" for number in range(2000)]
    before = set(words)
    for severity in SEVERITIES:
        kept = word_drop(" ".join(words), severity, rng()).split()
        assert kept == [word for word in words if word in set(kept)]
        assert 1 - len(kept) / 2000 == pytest.approx(0.1 * severity, abs=0.03)
        assert set(kept) <= before
        before = set(kept)
    assert {word_drop("alone", 5, rng(seed)) for seed in range(20)} == {"alone"}
    assert all(word_drop("two words", 5, rng(seed)) for seed in range(50))


def test_homoglyphs_are_other_letters_that_go_back_to_ascii() -> None:
    back = {twin: plain for plain, twin in HOMOGLYPHS.items()}
    assert len(back) == len(HOMOGLYPHS) == 26
    assert not any(twin.isascii() for twin in back)
    assert all(plain.isascii() and plain.isupper() == twin.isupper() for twin, plain in back.items())
    assert {unicodedata.name(twin).split()[0] for twin in back} == {"CYRILLIC", "GREEK"}
    every = homoglyphs(LONG, 5, rng())
    assert "".join(back.get(one, one) for one in every) == LONG
    assert not set(HOMOGLYPHS) & set(every)
    for severity, share in zip(SEVERITIES, [0.1, 0.25, 0.5, 0.75, 1.0], strict=True):
        some = changed(LONG, homoglyphs(LONG, severity, rng()))
        assert len(some) / len(changed(LONG, every)) == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("name", ["keyboard", "case", "truncation", "homoglyphs"])
def test_each_severity_damages_what_the_one_before_did_and_more(name: str) -> None:
    corruption: Any = KINDS[f"text-{name}"].resolve()
    kept = [
        set(enumerate(corruption(LONG, severity, rng()))) & set(enumerate(LONG)) for severity in SEVERITIES
    ]
    assert sorted(map(len, kept), reverse=True) == list(map(len, kept))
    assert len(set(map(len, kept))) == 5
