from collections.abc import Callable

import pytest
import torch

from fusion import Embeddings, RecipeError
from fusion.objectives.pairs import choose_pairs, positives, taking_part

NAMES = ("image", "text", "audio")
Build = Callable[..., Embeddings]
ALL = [(True, True, True)]


def test_all_pairs_are_chosen_when_nothing_is_given() -> None:
    assert choose_pairs(NAMES, None, None) == (("image", "text"), ("image", "audio"), ("text", "audio"))


def test_a_hub_is_bound_to_every_other_modality() -> None:
    assert choose_pairs(NAMES, None, "text") == (("text", "image"), ("text", "audio"))


def test_pairs_are_taken_as_they_are_given() -> None:
    assert choose_pairs(NAMES, [("audio", "text")], None) == (("audio", "text"),)


def test_pairs_and_a_hub_are_one_too_many() -> None:
    with pytest.raises(RecipeError, match=r"objectives: both pairs and hub \(text\) are given; give one"):
        choose_pairs(NAMES, [("audio", "text")], "text")


def test_an_unknown_hub_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(RecipeError, match="objectives: unknown modality 'txt'; did you mean 'text'"):
        choose_pairs(NAMES, None, "txt")


def test_all_faults_of_a_list_of_pairs_come_at_once() -> None:
    pairs = [("image", "txt"), ("audio", "audio"), ("image", "text"), ("text", "image")]
    with pytest.raises(RecipeError) as caught:
        choose_pairs(NAMES, pairs, None)
    unknown, itself, twice = str(caught.value).splitlines()
    assert "unknown modality 'txt'" in unknown
    assert "(audio, audio) compares a modality with itself; name two" in itself
    assert "a pair is given twice in (image, txt), (audio, audio)" in twice


@pytest.mark.parametrize(
    ("modalities", "pairs", "hub"), [(NAMES, [], None), (["text"], None, "text"), ([], None, None)]
)
def test_no_pair_at_all_is_refused(modalities: list[str], pairs: list[tuple[str, str]], hub: str) -> None:
    with pytest.raises(RecipeError, match=r"no pair to compare among .*; two are needed"):
        choose_pairs(modalities, pairs, hub)


def test_rows_take_part_where_both_modalities_are_present(random: Build) -> None:
    embeddings = random([(True, True, False), (True, False, True), (False, True, True), (True, True, True)])
    assert taking_part(embeddings, ("image", "audio")).tolist() == [False, True, False, True]


def belong(
    embeddings: Embeddings, same: torch.Tensor | None = None, rows: torch.Tensor | None = None
) -> list[list[int]]:
    b = len(embeddings.source)
    rows = torch.ones(b, dtype=torch.bool) if rows is None else rows
    found = positives(embeddings, ("image", "text"), same, rows)(slice(0, b), slice(0, b))
    assert found.dtype == torch.bool
    return found.int().tolist()


def test_a_row_is_its_own_positive(random: Build) -> None:
    assert belong(random(ALL * 3)) == torch.eye(3).int().tolist()


def test_without_anything_to_compare_a_row_is_its_own_positive(random: Build) -> None:
    found = positives(random(ALL * 3), (), None, torch.ones(3, dtype=torch.bool))
    assert found(slice(0, 3), slice(0, 3)).tolist() == torch.eye(3).bool().tolist()


def test_equal_known_content_of_either_modality_makes_positives(random: Build) -> None:
    content = {"image": [7, 0, 7, 0], "text": [5, 6, 8, 6], "audio": [9, 9, 9, 9]}
    # rows 0 and 2 share the image, rows 1 and 3 the text; 0 is not known to equal 0; audio is not asked
    expected = [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]]
    assert belong(random(ALL * 4, content)) == expected


def test_equal_targets_that_are_not_missing_make_positives(random: Build) -> None:
    found = belong(random(ALL * 4), torch.tensor([-100, 0, -100, 0]))
    assert found == [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 1, 0, 1]]


def test_content_as_large_and_as_small_as_a_fingerprint_is_told_apart(random: Build) -> None:
    content = {"image": [2**63 - 1, 2**63 - 2, -(2**63), 2**63 - 1]}
    found = belong(random(ALL * 4, content))
    assert found == [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]]


def test_a_row_that_does_not_take_part_is_nobodys_positive(random: Build) -> None:
    embeddings = random([(True, True, True), (True, False, True), (True, True, True)], {"image": [3, 3, 3]})
    rows = taking_part(embeddings, ("image", "text"))
    found = belong(embeddings, torch.tensor([1, 1, 1]), rows)
    assert found == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]  # it stays its own, and does not count


def test_positives_of_some_rows_are_a_part_of_all(random: Build) -> None:
    content = {"image": [7, 0, 7, 0, 7], "text": [5, 6, 8, 6, 5]}
    rows = torch.tensor([True, True, True, True, False])
    found = positives(random(ALL * 5, content), ("image", "text"), torch.tensor([1, 2, 1, -100, 1]), rows)
    every = found(slice(0, 5), slice(0, 5))
    assert torch.equal(found(slice(1, 3), slice(2, 5)), every[1:3, 2:5])
