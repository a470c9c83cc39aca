import pytest
import torch

from fusion import Embeddings, RecipeError
from fusion.objectives.pairs import choose_pairs, cut_out, left_out, mean_of_pairs, positives, taking_part
from tests.objectives.toys import NAMES, random

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


def test_rows_take_part_where_both_modalities_are_present() -> None:
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


def test_a_row_is_its_own_positive() -> None:
    assert belong(random(ALL * 3)) == torch.eye(3).int().tolist()


def test_without_anything_to_compare_a_row_is_its_own_positive() -> None:
    found = positives(random(ALL * 3), (), None, torch.ones(3, dtype=torch.bool))
    assert found(slice(0, 3), slice(0, 3)).tolist() == torch.eye(3).bool().tolist()


def test_equal_known_content_of_either_modality_makes_positives() -> None:
    content = {"image": [7, 0, 7, 0], "text": [5, 6, 8, 6], "audio": [9, 9, 9, 9]}
    # rows 0 and 2 share the image, rows 1 and 3 the text; 0 is not known to equal 0; audio is not asked
    expected = [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]]
    assert belong(random(ALL * 4, content)) == expected


def test_equal_targets_that_are_not_missing_make_positives() -> None:
    found = belong(random(ALL * 4), torch.tensor([-100, 0, -100, 0]))
    assert found == [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 1, 0, 1]]


def test_content_as_large_and_as_small_as_a_fingerprint_is_told_apart() -> None:
    content = {"image": [2**63 - 1, 2**63 - 2, -(2**63), 2**63 - 1]}
    found = belong(random(ALL * 4, content))
    assert found == [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]]


def test_a_row_that_does_not_take_part_is_nobodys_positive() -> None:
    embeddings = random([(True, True, True), (True, False, True), (True, True, True)], {"image": [3, 3, 3]})
    rows = taking_part(embeddings, ("image", "text"))
    found = belong(embeddings, torch.tensor([1, 1, 1]), rows)
    assert found == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]  # it stays its own, and does not count


def test_positives_of_some_rows_are_a_part_of_all() -> None:
    content = {"image": [7, 0, 7, 0, 7], "text": [5, 6, 8, 6, 5]}
    rows = torch.tensor([True, True, True, True, False])
    found = positives(random(ALL * 5, content), ("image", "text"), torch.tensor([1, 2, 1, -100, 1]), rows)
    every = found(slice(0, 5), slice(0, 5))
    assert torch.equal(found(slice(1, 3), slice(2, 5)), every[1:3, 2:5])


def test_how_many_belong_together_and_what_each_has_of_it() -> None:
    content = {"image": [7, 0, 7, 0], "text": [5, 6, 8, 9]}
    found = positives(random(ALL * 4, content), ("image", "text"), None, torch.ones(4, dtype=torch.bool))
    each = torch.tensor([1.0, 2.0, 3.0, 4.0])
    every, first, last = slice(0, 4), slice(0, 2), slice(3, 4)
    assert found.keys is not None
    assert found.among(every, every).tolist() == [2, 1, 2, 1]
    assert found.shares(every, every, each).tolist() == [
        [2, 0, 4, 0],
        [0, 4, 0, 0],
        [4, 0, 6, 0],
        [0, 0, 0, 8],
    ]
    assert found.among(first, last) == 0
    assert found.shares(first, last, each) is None


def test_rows_that_all_differ_have_shares_on_the_diagonal_alone() -> None:
    label = torch.tensor([0, 1, -100, -100])  # unknown ones differ
    found = positives(random(ALL * 4), ("image", "text"), label, torch.ones(4, dtype=torch.bool))
    each = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert found.keys is None
    assert found.among(slice(1, 3), slice(1, 3)) == 1
    assert found.shares(slice(1, 3), slice(1, 3), each).tolist() == [4, 6]
    assert found.shares(slice(0, 2), slice(2, 4), each) is None
    assert found.shares(slice(0, 2), slice(1, 4), each).tolist() == [[0, 0, 0], [4, 0, 0]]


def test_rows_that_do_not_take_part_are_cut_out() -> None:
    rows = torch.tensor([True, False, True, True])
    x, y = torch.eye(4), 2 * torch.eye(4)
    positive = positives(random(ALL * 4), ("image", "text"), torch.tensor([1, 1, 1, 2]), rows)
    ours, theirs, found = cut_out(x, y, positive)
    assert ours.tolist() == x[[0, 2, 3]].tolist()
    assert theirs.tolist() == y[[0, 2, 3]].tolist()
    assert found(slice(0, 3), slice(0, 3)).int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert (found.rows.tolist(), found.everyone) == ([True] * 3, True)


def test_without_any_row_that_takes_part_none_is_cut_out() -> None:
    rows = torch.zeros(2, dtype=torch.bool)
    given = torch.eye(2), torch.eye(2), positives(random(ALL * 2), ("image", "text"), None, rows)
    assert cut_out(*given)[0] is given[0]
    assert (left_out(given[2])(torch.zeros(2, 2), slice(0, 2), slice(0, 2)) <= -1e30).all()


def test_a_mean_is_over_the_pairs_that_have_a_row() -> None:
    losses = [torch.tensor(3.0), torch.tensor(0.0), torch.tensor(2.0)]
    some, none = torch.tensor([False, True]), torch.tensor([False, False])
    assert mean_of_pairs(losses, [some, none, some]) == 2.5
    assert mean_of_pairs([torch.tensor(0.0)] * 2, [none, none]) == 0
    assert mean_of_pairs(losses[:1], [some]) == 3
