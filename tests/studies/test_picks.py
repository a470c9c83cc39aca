"""What a criterion picks is told beside what the labels would pick."""

from collections.abc import Callable

from fusion.studies.compare import Comparison
from fusion.studies.picks import Picked, picks, table

Compared = Callable[..., Comparison]


def _scored(accuracy: float, entropy: float, snd: float) -> dict[str, float]:
    return {
        "subsets/image/accuracy": accuracy,
        "subsets/image/entropy": entropy,
        "subsets/image/snd": snd,
    }


def test_the_lowest_entropy_and_the_highest_density_are_picked_by_their_means(compared: Compared) -> None:
    found = compared(
        {
            ("a",): [_scored(0.9, 0.4, 1.0), _scored(0.9, 0.4, 1.0)],
            ("b",): [_scored(0.7, 0.1, 2.0), _scored(0.8, 0.3, 5.0)],
            ("c",): [_scored(0.6, 0.1, 3.0), _scored(0.6, 0.6, 3.0)],
        }
    )
    assert picks(found) == [Picked("entropy", None, "b", "a"), Picked("snd", None, "b", "a")]
    [shown] = table(found)
    assert shown.rows[0] == ["entropy", "", "b", "75.0 ± 7.1 %", "a", "90.0 ± 0.0 %"]


def test_nothing_is_picked_where_the_scores_are_not_there(compared: Compared) -> None:
    found = compared({("a",): [0.5], ("b",): [0.6]})
    assert picks(found) == []
    assert table(found) == []


def test_at_each_amount_there_is_a_pick(compared: Compared) -> None:
    versions = {
        ("a", "n=1"): [_scored(0.9, 0.1, 1)],
        ("b", "n=1"): [_scored(0.8, 0.2, 1)],
        ("a", "n=2"): [_scored(0.9, 0.3, 1)],
        ("b", "n=2"): [_scored(0.8, 0.2, 1)],
    }
    amounts = {parts: float(parts[1][2:]) for parts in versions}
    found = [pick for pick in picks(compared(versions, amounts)) if pick.criterion == "entropy"]
    assert found == [Picked("entropy", 1, "a n=1", "a n=1"), Picked("entropy", 2, "b n=2", "a n=2")]


def test_source_validation_is_the_mean_of_the_measure_on_the_other_sources(compared: Compared) -> None:
    def scored(target: float, one: float, other: float) -> dict[str, float]:
        values = {"target": target, "one": one, "other": other}
        kept = {f"source/{name}/subsets/image/accuracy": value for name, value in values.items()}
        return kept | {"source/one/subsets/text/accuracy": 1.0, "subsets/image/accuracy": 1.0}

    found = compared(
        {
            ("a",): [scored(0.9, 0.5, 0.7), scored(0.9, 0.5, 0.7)],
            ("b",): [scored(0.6, 0.9, 0.5), scored(0.8, 0.9, 0.5)],
            ("c",): [scored(0.7, 0.6, 0.6), scored(0.7, 0.6, 0.6)],
        },
        measures=["source/target/subsets/image/accuracy"],
    )
    assert picks(found) == [Picked("validation", None, "b", "a")]
