"""The metrics of runs that a ranking is compared with, and how well two orders agree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from fusion import Recipe, Registry, Run, RunError
from fusion.picks import complete
from fusion.run import create
from fusion.transfer.truth import kendall, truth
from tests.training.toys import recipe

Write = Callable[..., Run]
KEY = "subsets/image/accuracy"


@pytest.fixture
def write(registry: Registry, tmp_path: Path) -> Write:
    """Write a finished run of the changed toy recipe with an accuracy."""

    def made(folder: str, accuracy: float, changes: dict[str, Any]) -> Run:
        (tmp_path / folder).parent.mkdir(parents=True, exist_ok=True)
        run = create("toy", complete(recipe(changes), registry), tmp_path / folder)
        run.write_json("metrics.json", {KEY: accuracy, "init/rows_unknown": "yes"})
        run.write_json("manifest.json", {})
        return run

    return made


@pytest.fixture
def candidates(registry: Registry) -> dict[str, Recipe]:
    return {name: complete(recipe({"init": name}), registry) for name in ("a", "b")}


def test_it_is_that_of_the_runs_of_the_candidate_by_seed(
    write: Write, candidates: dict[str, Recipe], tmp_path: Path
) -> None:
    for seed, (a, b) in enumerate([(0.5, 0.75), (0.25, 1.0)]):
        write(f"some/a-{seed}", a, {"init": "a", "train.seed": seed, "name": f"a{seed}"})
        write(f"some/deep/b-{seed}", b, {"init": "b", "train.seed": seed, "train.log_every": 3})
    write("some/other", 0.1, {"init": "c"})
    write(
        "some/frozen", 0.1, {"init": "a", "encoders.image": {"name": "toy-image", "tune": {"mode": "frozen"}}}
    )
    unfinished = write("some/unfinished", 0.1, {"init": "b"})
    (unfinished.folder / "manifest.json").unlink()
    assert truth([tmp_path / "some"], candidates, KEY) == {"a": [0.5, 0.25], "b": [0.75, 1.0]}


def test_a_component_is_compared_with_all_its_options(
    write: Write, registry: Registry, tmp_path: Path
) -> None:
    picks = {"plain": {"name": "toy-image"}, "wide": {"name": "toy-image", "dim": 8}}
    for name, pick in picks.items():
        write(f"runs/{name}", 0.5 + len(name) / 10, {"encoders.image": pick})
    given = {name: complete(recipe({"encoders.image": pick}), registry) for name, pick in picks.items()}
    assert truth([tmp_path / "runs"], given, KEY) == {"plain": [1.0], "wide": [0.9]}


def test_a_candidate_without_a_run_is_told_with_what_differs_in_the_nearest(
    write: Write, candidates: dict[str, Recipe], tmp_path: Path
) -> None:
    write("some/a", 0.5, {"init": "a"})
    write("some/far", 0.5, {"init": "c", "width": 4, "train.steps": 9})
    write("some/near", 0.5, {"init": "b", "train.steps": 9, "train.lr": 0.5})
    said = r"no finished run in .*some is of candidate b; .*some/a differs in init"
    with pytest.raises(RunError, match=said):
        truth([tmp_path / "some"], candidates, KEY)
    (tmp_path / "none").mkdir()
    with pytest.raises(RunError, match=r"no finished run in .*none is of candidate a$"):
        truth([tmp_path / "none"], candidates, KEY)
    with pytest.raises(RunError, match=r"gone is not a folder; give one with runs of the candidates"):
        truth([tmp_path / "none", tmp_path / "gone"], candidates, KEY)


def test_a_metric_that_is_not_there_is_told(
    write: Write, candidates: dict[str, Recipe], tmp_path: Path
) -> None:
    write("some/a", 0.5, {"init": "a"}), write("some/b", 0.5, {"init": "b"})
    said = (
        r"some/a: unknown metric 'image/accuracy'; did you mean 'subsets/image/accuracy'\? known: subsets/im"
    )
    with pytest.raises(RunError, match=said):
        truth([tmp_path / "some"], candidates, "image/accuracy")


def test_the_agreement_of_two_orders_by_hand() -> None:
    assert kendall([1, 2, 3, 4], [10, 20, 30, 40]) == 1
    assert kendall([1, 2, 3, 4], [9, 8, 7, 1]) == -1
    assert kendall([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)  # two pairs agree, one does not
    assert kendall([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / 6**0.5)  # two of the pairs that are not tied


@pytest.mark.parametrize("seed", range(5))
def test_the_agreement_with_ties_is_that_of_scipy(seed: int) -> None:
    one, other = np.random.default_rng(seed).integers(0, 4, (2, 9)).astype(float)
    assert kendall(one, other) == pytest.approx(kendalltau(one, other).statistic)  # type: ignore[arg-type]


@pytest.mark.parametrize("one", [[], [1.0], [2.0, 2.0, 2.0]])
def test_there_is_no_agreement_where_nothing_differs(one: list[float]) -> None:
    assert kendall(one, list(range(len(one)))) is None
