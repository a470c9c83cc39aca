"""The page and the tables hold the numbers, losses in red, and need nothing beside themselves."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fusion.report.tables import Mark, Marked
from fusion.studies import words
from fusion.studies.compare import Comparison, Spread
from fusion.studies.kept import kept, zero_shot
from fusion.studies.kept import tables as kept_tables
from fusion.studies.page import Findings, render
from fusion.transfer.retention import Retention

Compared = Callable[..., Comparison]
MINUS = "\N{MINUS SIGN}"
ACCURACY, SHOT = "subsets/image/accuracy", "zero_shot/image/accuracy"


@pytest.fixture
def found(compared: Compared) -> Comparison:
    versions = {
        ("scratch",): [{ACCURACY: value} for value in (0.5, 0.6, 0.7)],
        ("transfer",): [{ACCURACY: value, SHOT: 0.25} for value in (0.7, 0.75, 0.95)],
        ("<lora>",): [{ACCURACY: value, SHOT: 0.5} for value in (0.45, 0.4, 0.35)],
    }
    changes = {parts: {"init": f"runs/fashion-{0}"} for parts in (("transfer",), ("<lora>",))}
    return compared(versions, changes=changes, baseline="scratch")


def test_the_tables_hold_the_numbers_and_mark_best_and_worse(found: Comparison) -> None:
    first, gains, budget = Findings("study", found).tables()
    assert first.columns == ["version", "seeds", ACCURACY]
    assert first.rows == [
        ["scratch", "3", "60.0 ± 10.0 %"],
        ["transfer", "3", "80.0 ± 13.2 %"],
        ["<lora>", "3", "40.0 ± 5.0 %"],
    ]
    assert [getattr(row[2], "mark", None) for row in first.rows] == [None, Mark.BEST, None]
    assert gains.rows == [
        ["transfer", "scratch", "+20.0 ± 5.0 points", "beyond one deviation"],
        ["<lora>", "scratch", f"{MINUS}20.0 ± 15.0 points", "beyond one deviation"],
    ]
    assert [getattr(row[2], "mark", None) for row in gains.rows] == [None, Mark.WORSE]
    assert budget.rows[0] == ["scratch", "", "8", "6", "48", ""]
    assert budget.rows[1][1] == "fashion"


def test_the_page_holds_them_too_and_is_offline(found: Comparison, tmp_path: Path) -> None:
    path = render(Findings("a <b> study", found), tmp_path / "deep/study.html")
    page = path.read_text("utf-8")
    assert "a &lt;b&gt; study" in page
    assert "<lora>" not in page
    assert f'<td class="number worse">{MINUS}20.0 ± 15.0 points</td>' in page
    assert '<td class="number best">80.0 ± 13.2 %</td>' in page
    assert (
        f'<li class="worse">Negative transfer: &lt;lora&gt; over scratch, {MINUS}20.0 ± 15.0 points' in page
    )
    assert page.count("<svg") >= 2
    assert not re.search(r"(src|href)=[\"'](?!#|data:)", page)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    HTMLParser().feed(page)


def test_a_loss_within_one_deviation_is_said_to_be(compared: Compared) -> None:
    found = compared({("scratch",): [0.5, 0.6, 0.7], ("other",): [0.45, 0.7, 0.6]})
    [note] = [note for note in Findings("s", found).notes() if "other" in note]
    assert (
        note
        == f"Worse than the baseline: other over scratch, {MINUS}1.7 ± 10.4 points, within one deviation."
    )
    assert isinstance(note, Marked)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "Equal budget: 8 steps of 6 rows for every version."),
        ({"train.steps": 80}, "Not an equal budget: 8 steps of 6 rows for a; 80 steps of 6 rows for b."),
        ({"train.batch": 12}, "Not an equal budget: 8 steps of 6 rows for a; 8 steps of 12 rows for b."),
        (
            {"evaluate": {"sources": {"all": {"name": "toy"}}}},
            "Not measured on the same rows: evaluate.sources or evaluate.limit differ.",
        ),
    ],
)
def test_what_is_unequal_is_told(compared: Compared, changes: dict[str, object], message: str) -> None:
    found = compared({("a",): [0.5, 0.6], ("b",): [0.6, 0.8]}, changes={("b",): changes})
    assert message in Findings("s", found).notes()


def test_one_seed_and_the_trainings_before_are_told(compared: Compared) -> None:
    versions = {("before",): [0.9], ("a",): [0.5], ("b",): [0.6]}
    changes = {("b",): {"init": "runs/before-0"}, ("before",): {"train.steps": 1000}}
    notes = Findings("s", compared(versions, changes=changes, origins=(("before",),))).notes()
    assert "Not counted in it: the training of what others take from (before 1,000 steps)." in notes
    assert any(note.startswith("One seed each: no deviation is known") for note in notes)


def test_failures_of_one_reason_are_one_note(compared: Compared) -> None:
    found = compared({("a",): [0.5], ("b",): [0.6]})
    notes = Findings("s", found, failed={"c-0": "no file", "d-0": "no rows", "c-1": "no file"}).notes()
    assert notes[:2] == ["Failed and left out: c-0, c-1: no file", "Failed and left out: d-0: no rows"]


def test_what_was_kept_is_a_share_seed_by_seed(found: Comparison) -> None:
    group = found.groups["transfer"]._replace(
        kept={
            0: Retention({ACCURACY: 0.8}, {ACCURACY: 0.6}, {SHOT: 0.2}),
            1: Retention({ACCURACY: 0.5}, {ACCURACY: 0.5}, {SHOT: 0.3}),
        }
    )
    [change] = kept(group, ACCURACY)
    assert change.left.by_seed == pytest.approx({0: 0.75, 1: 1.0})
    assert (change.before.mean, change.after.mean) == pytest.approx((0.65, 0.55))
    [shot] = zero_shot(group)
    assert (shot.before.by_seed, shot.after.by_seed) == ({0: 0.2, 1: 0.3}, {0: 0.25, 1: 0.25})
    remaining, named = kept_tables(found._replace(groups={**found.groups, "transfer": group}))
    assert remaining.rows == [
        ["transfer", "fashion", ACCURACY, "65.0 ± 21.2 %", "55.0 ± 7.1 %", "87.5 ± 17.7 %"]
    ]
    assert named.rows == [["transfer", SHOT, "25.0 ± 7.1 %", "25.0 ± 0.0 %", "+0.0 ± 7.1 points"]]


def test_the_earlier_run_is_told_by_its_own_measure_when_it_has_another(found: Comparison) -> None:
    other = "subsets/audio/accuracy"
    kept_there = {0: Retention({other: 0.8}, {other: 0.8}, {})}
    [change] = kept(found.groups["transfer"]._replace(kept=kept_there), ACCURACY)
    assert (change.key, change.left.by_seed) == (other, {0: 1.0})


def test_each_source_of_the_earlier_run_is_told(found: Comparison) -> None:
    known, strange = f"source/known/{ACCURACY}", f"source/strange/{ACCURACY}"
    ends = [{ACCURACY: 0.5, known: 0.9, strange: 0.1}, {ACCURACY: 0.5, known: 0.18, strange: 0.8}]
    changes = kept(found.groups["transfer"]._replace(kept={0: Retention(*ends, {})}), ACCURACY)
    assert {change.key: change.left.mean for change in changes} == pytest.approx({known: 0.2, strange: 8.0})


def test_the_record_has_the_numbers_and_what_is_missing_is_null(found: Comparison) -> None:
    record = Findings("study", found).record()
    lora = record["versions"]["<lora>"]
    assert lora["gains"][ACCURACY]["mean"] == pytest.approx(-0.2)
    assert lora["gains"][ACCURACY]["by_seed"] == pytest.approx({0: -0.05, 1: -0.2, 2: -0.35})
    assert lora["baseline"] == "scratch"
    assert record["versions"]["scratch"]["baseline"] is None
    assert record["versions"]["scratch"]["gains"] == {}
    assert record["measures"] == [ACCURACY]


def test_numbers_that_are_no_shares_are_written_as_they_are() -> None:
    errors = Spread({0: 2.0, 1: 3.0})
    assert words.spread("mae", errors) == "2.5 ± 0.7071"
    assert words.gain("mae", Spread({0: -2.0, 1: -3.0})) == f"{MINUS}2.5 ± 0.707"
    assert words.spread("accuracy", Spread({0: 0.5})) == "50.0 %"
    assert words.spread("accuracy", None) == ""
    assert words.percent(Spread({0: 1.25})) == "125.0 %"
    assert words.percent(Spread({0: 8.0, 1: 40.0})) == "over 200 %"
