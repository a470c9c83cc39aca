"""Recall, reciprocal rank and hit@1 against values worked out by hand and a naive implementation."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fusion.evaluation import retrieval as module
from fusion.evaluation.retrieval import Items, distinct, retrieval

UNKNOWN = 0  # the content of a sample that cannot be compared


def items(
    vectors: Sequence[Sequence[float]],
    labels: Sequence[int],
    content: Sequence[int],
    rows: Sequence[int] | None = None,
) -> Items:
    """Merge the samples of these rows of one source; by default each is a row of its own."""
    place = torch.tensor([[0] * len(vectors), list(range(len(vectors)) if rows is None else rows)])
    return distinct(torch.tensor(vectors), torch.tensor(labels), torch.tensor(content), place)


def search(similarity: Sequence[Sequence[float]], labels: Sequence[int] | None = None) -> dict[str, float]:
    """Search rows that are all different; the gallery is the unit matrix, so this is the similarity."""
    size = len(similarity)
    labels = labels or [-100] * size
    unit = torch.eye(size).tolist()
    return retrieval(items(similarity, labels, [UNKNOWN] * size), items(unit, labels, [UNKNOWN] * size))


def test_four_queries_worked_out_by_hand() -> None:
    found = search(
        [
            [0.9, 0.1, 0.2, 0.3],  # its own item is first, of its class
            [0.8, 0.5, 0.4, 0.1],  # second; the first is of another class
            [0.5, 0.6, 0.4, 0.7],  # last; the first is of another class
            [0.2, 0.9, 0.3, 0.5],  # second; the first is of its class
        ],
        labels=[0, 1, 0, 1],
    )
    assert found == {
        "recall@1": 1 / 4,
        "recall@5": 1.0,
        "recall@10": 1.0,
        "mrr": (1 + 1 / 2 + 1 / 4 + 1 / 2) / 4,
        "hit@1": 2 / 4,
        "labelled": 4,
        "queries": 4,
        "gallery": 4,
    }


def test_recall_counts_the_ranks_up_to_its_cutoff() -> None:
    # query i has i items nearer than its own, so the ranks are 1 to 12
    similarity = [
        [0.0 if j == i else 1.0 if (j - i) % 12 <= i else -1.0 for j in range(12)] for i in range(12)
    ]
    found = search(similarity)
    assert [found[f"recall@{k}"] for k in (1, 5, 10)] == [1 / 12, 5 / 12, 10 / 12]
    assert found["mrr"] == pytest.approx(sum(1 / rank for rank in range(1, 13)) / 12)


def test_an_equally_near_wrong_item_counts_as_nearer() -> None:
    found = search([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], labels=[0, 1, 2])
    assert found["recall@1"] == 2 / 3
    assert found["mrr"] == (1 / 2 + 1 + 1) / 3
    assert found["hit@1"] == 2 / 3


def test_an_equally_near_item_of_the_same_class_is_a_hit() -> None:
    found = search([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], labels=[0, 0, 2])
    assert found["hit@1"] == 1.0


def test_vectors_that_are_all_equal_find_nothing() -> None:
    labels = [0, 1] * 10
    same = items([[0.6, 0.8]] * 20, labels, [UNKNOWN] * 20)
    found = retrieval(same, same)
    assert found["recall@1"] == found["recall@5"] == found["recall@10"] == found["hit@1"] == 0.0
    assert found["mrr"] == pytest.approx(1 / 20)


@pytest.mark.parametrize("broken", ["queries", "gallery"])
def test_vectors_of_nan_find_nothing(broken: str) -> None:
    whole, lost = torch.eye(20).tolist(), torch.full((20, 20), math.nan).tolist()
    parts = {"queries": whole, "gallery": whole, broken: lost}
    rows = [items(parts[name], list(range(20)), [UNKNOWN] * 20) for name in ("queries", "gallery")]
    found = retrieval(*rows)
    assert found["recall@10"] == found["hit@1"] == 0.0


def test_an_image_with_five_captions_may_find_any_of_them() -> None:
    # two images, each in five rows with another caption; image 1 is nearest to a caption of image 0
    captions = [[1.0, 0.0, 0.0]] * 4 + [[0.0, 0.9, 0.1]] + [[0.0, 0.5, 0.5]] * 4 + [[0.0, 0.8, 0.2]]
    images = [[1.0, 0.0, 0.0]] * 5 + [[0.0, 1.0, 0.0]] * 5
    labels = [-100] * 10
    image, text = items(images, labels, [7] * 5 + [8] * 5), items(captions, labels, [UNKNOWN] * 10)
    by_image = retrieval(image, text)
    assert (by_image["queries"], by_image["gallery"]) == (2, 10)
    assert (by_image["recall@1"], by_image["mrr"]) == (1 / 2, (1 + 1 / 2) / 2)
    by_caption = retrieval(text, image)
    assert (by_caption["queries"], by_caption["gallery"]) == (10, 2)
    assert by_caption["recall@1"] == 9 / 10  # all but the caption that lies with the other image


def test_choices_of_one_row_are_all_right_for_it() -> None:
    # as above, but each image is there once, and its row has five captions
    captions = [[1.0, 0.0, 0.0]] * 4 + [[0.0, 0.9, 0.1]] + [[0.0, 0.5, 0.5]] * 4 + [[0.0, 0.8, 0.2]]
    text = items(captions, [-100] * 10, [UNKNOWN] * 10, rows=[3] * 5 + [8] * 5)
    image = items([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [-100] * 2, [UNKNOWN] * 2, rows=[3, 8])
    by_image = retrieval(image, text)
    assert (by_image["queries"], by_image["gallery"]) == (2, 10)
    assert (by_image["recall@1"], by_image["mrr"]) == (1 / 2, (1 + 1 / 2) / 2)
    by_caption = retrieval(text, image)
    assert (by_caption["queries"], by_caption["recall@1"]) == (10, 9 / 10)


def test_two_modalities_with_choices_are_right_for_each_other_in_every_combination() -> None:
    text = items([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [-100] * 3, [UNKNOWN] * 3, rows=[0, 0, 1])
    sound = items([[0.0, 1.0], [0.9, 0.0], [0.0, 0.8]], [-100] * 3, [UNKNOWN] * 3, rows=[0, 0, 1])
    # text 0 finds sound 1 of its row; text 1 sound 0 of its row; text 2 is nearer to sound 0 than to its own
    assert retrieval(text, sound)["recall@1"] == 2 / 3


def test_samples_that_no_row_holds_together_have_a_class_to_find_but_no_recall() -> None:
    image = items([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], [0, 1, 1], [UNKNOWN] * 3, rows=[0, 1, 2])
    sound = items([[1.0, 0.0], [0.0, 1.0]], [0, 0], [UNKNOWN] * 2, rows=[7, 8])
    assert retrieval(image, sound) == {"hit@1": 1.0, "labelled": 1, "gallery": 2}
    assert retrieval(sound, image) == {"hit@1": 1 / 2, "labelled": 2, "gallery": 3}


def test_without_a_common_row_and_without_labels_there_is_nothing_to_measure() -> None:
    image = items([[1.0, 0.0]], [-100], [UNKNOWN], rows=[0])
    sound = items([[1.0, 0.0]], [-100], [UNKNOWN], rows=[1])
    assert retrieval(image, sound) == {}


def test_a_query_without_a_partner_is_left_out_of_recall_and_its_modality_stays_in_the_gallery() -> None:
    image = items([[1.0, 0.0], [0.0, 1.0]], [-100] * 2, [UNKNOWN] * 2, rows=[0, 1])
    text = items([[0.8, 0.0], [0.9, 0.0], [0.0, 1.0]], [-100] * 3, [UNKNOWN] * 3, rows=[0, 5, 6])
    assert retrieval(image, text) == {
        "recall@1": 0.0,  # the text of row 5, of which the image is unknown, is nearer
        "recall@5": 1.0,
        "recall@10": 1.0,
        "mrr": 1 / 2,
        "queries": 1,
        "gallery": 3,
    }


def test_rows_of_different_sources_are_different_rows() -> None:
    image, text = items([[1.0]], [-100], [UNKNOWN]), items([[1.0]], [-100], [UNKNOWN])
    assert retrieval(image, text)["recall@1"] == 1.0
    assert retrieval(image, text._replace(place=torch.tensor([[1], [0]]))) == {}


def test_a_caption_that_images_share_is_searched_once_and_finds_any_of_them() -> None:
    images, captions = torch.eye(3).tolist(), [[0.1, 1.0, 0.0], [0.1, 1.0, 0.0], [0.0, 0.0, 1.0]]
    found = retrieval(
        items(captions, [0, 0, 1], [5, 5, 6]), items(images, [0, 0, 1], [UNKNOWN, UNKNOWN, UNKNOWN])
    )
    assert (found["queries"], found["recall@1"]) == (2, 1.0)


def test_equal_content_is_merged_and_unknown_content_is_not() -> None:
    merged = items([[1.0], [2.0], [1.0], [3.0], [4.0]], [0, 1, 0, 2, 3], [9, UNKNOWN, 9, UNKNOWN, -9])
    assert sorted(zip(merged.vectors.flatten().tolist(), merged.labels.tolist(), strict=True)) == [
        (1.0, 0),
        (2.0, 1),
        (3.0, 2),
        (4.0, 3),
    ]
    assert merged.vectors[merged.of_row].flatten().tolist() == [1.0, 2.0, 1.0, 3.0, 4.0]


def test_a_query_whose_class_is_not_in_the_gallery_is_left_out_of_hit_at_1() -> None:
    unit = torch.eye(3).tolist()
    queries = items(unit, [0, 1, 2], [UNKNOWN] * 3)
    gallery = items(unit, [0, 0, -100], [UNKNOWN] * 3)
    assert retrieval(queries, gallery)["hit@1"] == 1.0  # of the query of class 0, alone


def test_without_labels_there_is_no_hit_at_1() -> None:
    assert "hit@1" not in search([[1.0, 0.0], [0.0, 1.0]])


rows = st.integers(1, 9).flatmap(
    lambda count: st.lists(
        st.tuples(
            st.tuples(st.integers(-2, 2), st.integers(-2, 2)),  # few small integers: many exact ties
            st.tuples(st.integers(-2, 2), st.integers(-2, 2)),
            st.integers(0, 3),
            st.integers(0, 3),
            st.sampled_from([-100, 0, 1]),
        ),
        min_size=count,
        max_size=count,
    )
)


@given(rows, st.sampled_from([1, 5, 2**24]))
def test_it_is_what_a_naive_implementation_finds(
    given_rows: list[tuple[tuple[int, int], tuple[int, int], int, int, int]], budget: int
) -> None:
    query, gallery, query_content, gallery_content, labels = (
        list(column) for column in zip(*given_rows, strict=True)
    )
    # rows with the same sample have the same vector
    query = [query[query_content.index(c)] if c else v for v, c in zip(query, query_content, strict=True)]
    gallery = [
        gallery[gallery_content.index(c)] if c else v for v, c in zip(gallery, gallery_content, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BUDGET", budget)
        found = retrieval(
            items([list(map(float, v)) for v in query], labels, query_content),
            items([list(map(float, v)) for v in gallery], labels, gallery_content),
        )
    expected = naive(query, gallery, query_content, gallery_content, labels)
    assert found == pytest.approx(expected)


def naive(
    query: list[tuple[int, int]],
    gallery: list[tuple[int, int]],
    query_content: list[int],
    gallery_content: list[int],
    labels: list[int],
) -> dict[str, float]:
    def samples(content: list[int]) -> list[tuple[str, int]]:
        return [("same", c) if c else ("own", row) for row, c in enumerate(content)]

    asked, held = samples(query_content), samples(gallery_content)
    searchable = {sample: (gallery[held.index(sample)], labels[held.index(sample)]) for sample in held}
    ranks, hits = [], []
    for sample in dict.fromkeys(asked):
        vector, label = query[asked.index(sample)], labels[asked.index(sample)]
        right = {held[row] for row, other in enumerate(asked) if other == sample}
        near = {item: int(np.dot(vector, found[0])) for item, found in searchable.items()}
        best = max(near[item] for item in right)
        ranks.append(1 + sum(near[item] >= best for item in near if item not in right))
        if label != -100 and label in [found[1] for found in searchable.values()]:
            top = [item for item in near if near[item] == max(near.values())]
            hits.append(all(searchable[item][1] == label for item in top))
    expected = {f"recall@{k}": float(np.mean([rank <= k for rank in ranks])) for k in (1, 5, 10)}
    expected["mrr"] = float(np.mean([1 / rank for rank in ranks]))
    expected |= {"hit@1": float(np.mean(hits)), "labelled": len(hits)} if hits else {}
    return expected | {"queries": len(set(asked)), "gallery": len(searchable)}
