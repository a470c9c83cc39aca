from collections.abc import Callable

import pytest
import torch

from fusion import Embeddings, RecipeError
from fusion.objectives.pairs import choose_pairs, positives, similarity, taking_part

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


def test_similarities_are_cosines_in_fp32_also_under_autocast(random: Build) -> None:
    embeddings = random(ALL * 3)
    with torch.autocast("cpu", torch.bfloat16):
        cosines = similarity(embeddings, ("image", "text"))
    expected = torch.cosine_similarity(
        embeddings.pooled["image"][:, None], embeddings.pooled["text"][None], dim=-1
    )
    torch.testing.assert_close(cosines, expected)


def test_a_row_is_its_own_positive(random: Build) -> None:
    assert positives(random(ALL * 3), ("image", "text"), None).tolist() == torch.eye(3).bool().tolist()


def test_equal_known_content_of_either_modality_makes_positives(random: Build) -> None:
    content = {"image": [7, 0, 7, 0], "text": [5, 6, 8, 6], "audio": [9, 9, 9, 9]}
    found = positives(random(ALL * 4, content), ("image", "text"), None)
    # rows 0 and 2 share the image, rows 1 and 3 the text; 0 is not known to equal 0; audio is not asked
    assert found.int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]]


def test_equal_targets_that_are_not_missing_make_positives(random: Build) -> None:
    found = positives(random(ALL * 4), ("image", "text"), torch.tensor([-100, 0, -100, 0]))
    assert found.int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 1, 0, 1]]


def test_a_row_that_does_not_take_part_is_nobodys_positive(random: Build) -> None:
    embeddings = random([(True, True, True), (True, False, True), (True, True, True)], {"image": [3, 3, 3]})
    found = positives(embeddings, ("image", "text"), torch.tensor([1, 1, 1]))
    assert found.int().tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 1]]
