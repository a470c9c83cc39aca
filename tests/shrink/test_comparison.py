"""The gate, on metrics that were made by hand."""

import math

import pytest

from fusion import RunError
from fusion.shrink.comparison import compare, expect_known, headlines, told

METRICS = {
    "retrieval/image->audio/hit@1": 0.9,
    "retrieval/image->audio/recall@1": 0.2,
    "retrieval/image->audio/recall@5": 0.5,
    "retrieval/image->audio/rows": 50,
    "retrieval/audio->image/recall@1": 0.3,
    "zero_shot/image/accuracy": 0.8,
    "zero_shot/image/rows": 50,
    "subsets/image/kind/entropy": 0.1,
    "subsets/image/kind/accuracy": 0.7,
    "subsets/image/kind/f1": 0.6,
    "subsets/image/size/mae": 1.5,
    "subsets/image/size/r2": 0.4,
    "subsets/image/rows": 50,
    "source/one/subsets/image/kind/accuracy": 0.1,
    "train/steps": 3,
}
DECIDING = [
    "retrieval/image->audio/hit@1",
    "retrieval/audio->image/recall@1",
    "zero_shot/image/accuracy",
    "subsets/image/kind/accuracy",
    "subsets/image/size/mae",
]


def test_the_first_metric_of_each_pair_modality_and_task_decides() -> None:
    shown, deciding = headlines(METRICS, ["accuracy", "f1", "mae", "r2"])
    assert deciding == DECIDING
    assert shown == [DECIDING[0], "retrieval/image->audio/recall@1", *DECIDING[1:]]


@pytest.mark.parametrize(
    ("key", "after", "kept"),
    [
        ("zero_shot/image/accuracy", 0.8, True),
        ("zero_shot/image/accuracy", 0.9, True),
        ("zero_shot/image/accuracy", 0.79, True),  # a point, though 0.8 - 0.79 is above 0.01 in floats
        ("zero_shot/image/accuracy", 0.789, False),
        ("subsets/image/size/mae", 1.4, True),
        ("subsets/image/size/mae", 1.51, True),
        ("subsets/image/size/mae", 1.52, False),
        ("subsets/image/size/mae", math.nan, False),
        ("subsets/image/size/mae", None, False),
    ],
)
def test_a_metric_may_become_worse_by_so_much(key: str, after: float | None, kept: bool) -> None:
    measured = {} if after is None else {key: after}
    [line] = compare(METRICS, measured, [key], [key], 0.01)
    assert line.kept is kept
    assert line.before == METRICS[key]
    assert line.after == (after if after == after else None)


def test_what_does_not_decide_is_shown_alone() -> None:
    key = "retrieval/image->audio/recall@1"
    [line] = compare(METRICS, {key: 0.0}, [key], DECIDING, 0.0)
    assert line == (key, 0.2, 0.0, None)


def test_why_it_does_not_pass_is_said() -> None:
    after = {DECIDING[2]: 0.75, DECIDING[4]: 1.7}
    lines = compare(METRICS, after, DECIDING[2:], DECIDING, 0.01)
    assert [told(line) for line in lines] == [
        "zero_shot/image/accuracy is worse by 5.00 points",
        "subsets/image/kind/accuracy is no longer measured",
        "subsets/image/size/mae is worse by 0.2",
    ]


def test_a_metric_that_is_no_number_is_refused() -> None:
    expect_known(["train/steps"], METRICS)
    with pytest.raises(RunError, match="--metric: unknown metric 'train/step'; did you mean 'train/steps'"):
        expect_known(["train/step"], METRICS)
    with pytest.raises(RunError, match="unknown metric 'name'"):
        expect_known(["name"], {"name": "text", "value": 1.0})
