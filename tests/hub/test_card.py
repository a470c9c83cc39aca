"""The card says what the run says, and tells nobody's folders."""

import json
from collections.abc import Callable

import pytest
import yaml
from click.testing import CliRunner

from fusion import Registry, Run, RunError
from fusion.cli import cli
from fusion.hub.card import card, markdown
from fusion.report.tables import Table
from tests.hub.conftest import Done
from tests.hub.standin import Hub

LICENCES = """
import sys
from fusion import Run
from fusion.hub.push import licences
print(licences(Run(sys.argv[1])))
"""


def front(text: str) -> dict[str, object]:
    _, head, _ = text.split("---\n", 2)
    return dict(yaml.safe_load(head))


def test_it_has_what_the_hub_reads_and_what_the_run_is(run: Run) -> None:
    text = card(run, "me/digits", "mit")
    assert front(text) == {
        "library_name": "fusion-bind",
        "license": "mit",
        "tags": ["multimodal", "fusion", "image", "text", "audio"],
    }
    assert 'load("me/digits@main")' in text
    assert f"width {run.recipe.width} and fuses what a row has by `{run.recipe.fuser.name}`" in text
    assert "| audio | scratch-audio | random weights |  | full |" in text
    for subset in ("image", "text", "image+text+audio"):
        accuracy = run.metrics[f"subsets/{subset}/accuracy"]
        lines = [line for line in text.splitlines() if line.startswith(f"| {subset} | ") and "%" in line]
        assert any(f" {100 * accuracy:.1f} % " in line for line in lines)
    assert "- Measured on test only" in text
    assert "What is left of it under attack was not measured" in text


def test_without_a_licence_none_is_claimed(run: Run) -> None:
    assert "license" not in front(card(run, "me/digits"))


def test_weights_from_elsewhere_are_named_with_their_licence(run: Run) -> None:
    record = json.loads((run.folder / "manifest.json").read_text())
    record["weights"] = {
        "image": {"model": "you/tower", "revision": "c0ffee"},
        "text": {"model": "/home/me/secret/minilm", "sha256": "0"},
    }
    run.write_json("manifest.json", record)
    text = card(run, "me/digits", None, {"image": "apache-2.0"})
    assert front(text)["base_model"] == ["you/tower"]
    assert "| image | scratch-image | you/tower@c0ffee | apache-2.0 | full |" in text
    assert "| text | scratch-text | minilm | not known | full |" in text
    assert "secret" not in text


def test_licences_are_those_that_the_hub_tells(
    python: Callable[..., Done], hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add("you/tower", {})
    hub.licences["you/tower"] = "apache-2.0"
    record = json.loads((run.folder / "manifest.json").read_text())
    record["weights"] = {
        "image": {"model": "you/tower", "revision": commit},
        "text": {"model": "you/gone", "revision": commit},
        "audio": {"model": "/somewhere"},
    }
    run.write_json("manifest.json", record)
    found = python("-c", LICENCES, run.folder)
    assert found.stdout == "{'image': 'apache-2.0'}\n", found.stderr


def test_folders_are_left_out_of_the_card_and_told_before_a_push(run: Run) -> None:
    recipe = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    recipe["sources"]["seen"] |= {"view": "/home/me/secret/train.csv"}
    (run.folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    record = json.loads((run.folder / "manifest.json").read_text())
    del record["files"]["recipe.yaml"]
    run.write_json("manifest.json", record)
    done = CliRunner().invoke(cli, ["push", str(run.folder), "me/digits", "--dry-run"], obj=Registry())
    assert done.exit_code == 0
    assert "view: train.csv" in done.stdout
    assert "secret" not in done.stdout
    assert "recipe.yaml will tell everybody of /home/me/secret/train.csv, " in done.stderr
    assert "Files: README.md, recipe.yaml" in done.stdout


def test_cells_stay_cells() -> None:
    table = Table("", ["a", "b"], [["x | y\nz", "<b>"]])
    assert markdown(table) == "| a | b |\n| --- | --: |\n| x \\| y z | &lt;b> |"


@pytest.mark.parametrize("name", ["digits", "me/digits@main", "/home/me/digits", "", "me/my digits"])
def test_a_name_that_is_none_is_told_before_anything_is_asked(run: Run, name: str) -> None:
    with pytest.raises(RunError, match="is no name of a repository; give one like org/name"):
        card(run, name)


def test_an_unfinished_run_has_no_card(run: Run) -> None:
    (run.folder / "manifest.json").unlink()
    with pytest.raises(RunError, match="not finished"):
        card(run, "me/digits")
