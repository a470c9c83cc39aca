"""Flat metrics are sorted into records, each exactly once."""

from fusion.report.scores import Score, leading, sort

METRICS = {
    "retrieval/image->audio/hit@1": 0.5,
    "retrieval/image->audio/rows": 8,
    "retrieval/image->audio/emergent": True,
    "source/test/retrieval/image->text/mrr": 0.25,
    "zero_shot/image/accuracy": 0.75,
    "subsets/image+audio/accuracy": 1.0,
    "subsets/image+audio/averaged/accuracy": 0.875,
    "subsets/image+audio/calibrated/ece": 0.25,
    "subsets/image+audio/rows": 8,
    "subsets/image/accuracy": 0.5,
    "subsets/image/age/mae": 2.5,
    "subsets/image/age/averaged/mae": 3.5,
    "subsets/image/rows": 4,
    "subsets/text/rows": 0,
    "train/rows/image+text": 12,
    "train/seconds": 3.0,
    "parameters/encoders.image": 7,
    "transfer/gain": 0.1,
}


def test_every_section_is_sorted():
    scores = sort(METRICS)
    assert scores.retrieval == [
        Score("", "image->audio", "", {"hit@1": 0.5}, {}, 8, True),
        Score("test", "image->text", "", {"mrr": 0.25}),
    ]
    assert scores.zero_shot == [Score("", "image", "", {"accuracy": 0.75})]
    assert scores.subsets == [
        Score("", "image", "", {"accuracy": 0.5}, {}, 4),
        Score("", "image", "age", {"mae": 2.5}, {"mae": 3.5}, 4),
        Score("", "image+audio", "", {"accuracy": 1.0}, {"accuracy": 0.875}, 8, None, {"ece": 0.25}),
    ]
    assert scores.trained == {"image+text": 12}
    assert scores.parameters == {"encoders.image": 7}
    assert scores.rest == {"train/seconds": 3.0, "transfer/gain": 0.1}


def test_the_leading_metric_is_the_preferred_one_or_the_first_number():
    scores = [Score("", "image", metrics={"note": "x", "mae": 1.0, "rmse": 2.0, "bad": float("nan")})]
    assert leading(scores, ("rmse",)) == "rmse"
    assert leading(scores, ("accuracy",)) == "mae"
    assert leading(scores, ("bad",)) == "mae"
    assert leading([], ("accuracy",)) is None
