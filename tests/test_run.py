"""The run folder: made once, written whole, and told in words when it is damaged."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from fusion import Recipe, Registry, Run, RunError, read_recipe
from fusion.run import create, reopen


@pytest.fixture(scope="module")
def recipe(registry: Registry) -> Recipe:
    found = read_recipe("bind_digits", registry=registry)
    assert isinstance(found, Recipe)
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def threads(count: int, target: Callable[[], None]) -> None:
    started = [Thread(target=target) for _ in range(count)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def test_runs_of_one_name_that_start_at_the_same_time_get_a_folder_each(here: Path, recipe: Recipe) -> None:
    made: list[str] = []
    threads(8, lambda: made.append(create("bind", recipe, None).folder.name))
    assert sorted(made) == ["bind", *(f"bind-{number}" for number in range(2, 9))]


def test_a_new_run_holds_its_recipe_and_nothing_else(here: Path, recipe: Recipe) -> None:
    run = create("bind", recipe, None)
    assert [path.name for path in run.folder.iterdir()] == ["recipe.yaml"]
    assert run.recipe.model_dump(mode="json") == recipe.model_dump(mode="json")
    assert not run.finished


def test_an_empty_folder_may_be_given(here: Path, recipe: Recipe) -> None:
    (here / "empty").mkdir()
    assert create("bind", recipe, here / "empty").folder == here / "empty"


def test_a_folder_that_was_left_while_it_was_made_may_be_given(here: Path, recipe: Recipe) -> None:
    (here / "left").mkdir()
    (here / "left" / ".recipe.yaml.partial").write_text("name: bi")
    run = create("bind", recipe, here / "left")
    assert [path.name for path in run.folder.iterdir()] == ["recipe.yaml"]


def test_the_newest_run_is_the_one_with_the_highest_number(here: Path, recipe: Recipe) -> None:
    for number in (1, 2, 10):
        create("bind", recipe, here / "runs" / ("bind" if number == 1 else f"bind-{number}"))
    create("bind-more", recipe, None)
    assert reopen("bind", recipe, None).folder.name == "bind-10"


def test_a_folder_that_cannot_be_made_is_told(here: Path, recipe: Recipe) -> None:
    (here / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot make the run folder: .*file"):
        create("bind", recipe, here / "file" / "run")


def test_what_is_written_is_read_again_whatever_it_holds(here: Path, recipe: Recipe) -> None:
    run = create("bind", recipe, None)
    content = {"name": "Bär\udcff\u2028", "score": 0.1}  # a file's name may hold any byte
    run.write_json("metrics.json", content)
    assert run.metrics == content


def test_a_missing_or_damaged_file_is_told(here: Path, recipe: Recipe) -> None:
    run = create("bind", recipe, None)
    with pytest.raises(RunError, match=r"bind has no metrics\.json: the run is not finished; `--resume` it"):
        run.metrics  # noqa: B018
    (run.folder / "metrics.json").write_text('{"loss": 0.')
    with pytest.raises(RunError, match=r"metrics\.json is damaged: "):
        run.metrics  # noqa: B018


def test_a_folder_without_a_recipe_is_no_run(here: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no recipe\.yaml; a run is what `fusion train`"):
        Run(here)
