"""tune, as a terminal would call it."""

from collections.abc import Callable
from pathlib import Path

from fusion import Run, read_recipe
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]
KEY = "subsets/image+text+audio/accuracy"
WORDS = ("tune", "fuse_digits", "--tiny", "--by", KEY, "--over", "fuser.name=gate,gone", "--over", "width=64")


def test_a_search_prints_its_tables_and_fails_in_part_with_exit_code_1(fusion: Fusion) -> None:
    found = fusion(*WORDS, "--trials", 2)
    assert found.code == 1
    folder = Path("runs/tunes/fuse_digits-tiny")
    score = Run(folder / "trial-000").metrics[KEY]
    *_, page, best = found.out.splitlines()
    assert (page, best) == (f"page    {folder / 'tune.html'}", f"best    {folder / 'best.yaml'}")
    rows = [line.split() for line in found.out.splitlines() if line.startswith("trial-")]
    assert rows == [
        ["trial-000", "gate", "64", f"{100 * score:.1f}", "%"],
        ["trial-001", "gone", "64", "failed"],
    ]
    assert "[1/2] trial-000: fuser.name=gate, width=64: trains" in found.err
    assert read_recipe(folder / "best.yaml").fuser.name == "gate"
    again = fusion(*WORDS, "--trials", 2, "--json")
    assert again.json["best"] == {
        "trial": 0,
        "values": {"fuser.name": "gate", "width": 64},
        "score": score,
        "failed": "",
    }
    assert "trains" not in again.err


def test_what_is_asked_for_in_vain_is_told(fusion: Fusion) -> None:
    wrong = fusion("tune", "fuse_digits", "--by", KEY, "--over", "train.lr=log:0:1")
    assert wrong.code == 1
    assert "train.lr: log:0.0:1.0 holds nothing to look in; 0 < LOW < HIGH expected" in wrong.err
    assert fusion("tune", "fuse_digits", "--by", KEY).code == 2
    assert not Path("runs").exists()
