"""plugins, recipes and doctor: what is there, for eyes and as JSON."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Registry, read_recipe
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


def test_plugins_lists_every_component(fusion: Fusion, registry: Registry) -> None:
    lines = [line.split() for line in fusion("plugins", "ls").out.splitlines()]
    assert lines[0] == ["kind", "name", "modality", "plugin", "distribution", "version"]
    listed = {(line[0], line[1]) for line in lines[1:] if line}
    assert listed == {(offer.kind, offer.component.name) for offer in registry}
    assert ("fuser", "attend") in listed


def test_plugins_alone_is_plugins_ls(fusion: Fusion) -> None:
    assert fusion("plugins").out == fusion("plugins", "ls").out


def test_plugins_as_json(fusion: Fusion) -> None:
    found = fusion("plugins", "ls", "--json").json
    assert found["quarantine"] == []
    assert {
        "kind": "encoder",
        "name": "scratch-text",
        "modality": "text",
        "plugin": "scratch",
        "distribution": "fusion-bind",
        "version": "0.1.0",
    } in found["components"]


def test_a_component_is_shown_with_its_options(fusion: Fusion) -> None:
    found = fusion("plugins", "show", "classify")
    assert found.code == 0
    lines = found.out.splitlines()
    assert lines[:2] == [
        "objective classify",
        "from plugin 'builtin' (fusion), fusion.objectives.classify:Classify",
    ]
    assert "Softmax regression with cross entropy over the rows that have the label." in lines
    assert "`smoothing` spreads that share" in found.out
    assert not any(line.startswith("    ") for line in lines[:-1])  # the indentation of the source is gone
    assert "  classes: int  (required, ≥ 2)" in lines
    assert "  smoothing: float = 0.0  (≥ 0, < 1)" in lines
    assert lines[-3:] == ["picked by:", "  objectives:", "    classify: {name: classify, classes: 10}"]


def test_a_component_as_json(fusion: Fusion) -> None:
    [found] = fusion("plugins", "show", "classify", "--json").json
    assert (found["kind"], found["name"], found["plugin"]) == ("objective", "classify", "builtin")
    assert found["options"] == [
        {"name": "classes", "type": "int", "allowed": "≥ 2", "required": True},
        {"name": "target", "type": "str", "allowed": "", "required": False, "default": "label"},
        {"name": "smoothing", "type": "float", "allowed": "≥ 0, < 1", "required": False, "default": 0.0},
    ]
    assert found["papers"] == ["Szegedy et al. 2016"]


def test_what_a_component_needs_is_told(fusion: Fusion) -> None:
    assert "needs pip install 'fusion-bind[track-wandb]'\n" in fusion("plugins", "show", "wandb").out
    assert fusion("plugins", "show", "wandb", "--json").json[0]["needs"] == "fusion-bind[track-wandb]"


def test_a_component_is_checked(fusion: Fusion) -> None:
    found = fusion("plugins", "check", "attend")
    assert found.code == 0
    lines = found.out.strip().splitlines()
    assert len(lines) > 2
    assert all(line.startswith("ok  ") for line in lines[:-1])
    assert lines[-1] == "fuser attend of plugin 'builtin' (fusion) keeps its contract"


@pytest.mark.parametrize("command", ["show", "check"])
def test_an_unknown_component_is_an_error_with_a_guess(fusion: Fusion, command: str) -> None:
    found = fusion("plugins", command, "atend")
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith("error: unknown component 'atend'; did you mean 'attend'? known: ")


def test_recipes_are_listed_with_their_first_sentence(fusion: Fusion) -> None:
    found = fusion("recipes", "ls", "--json").json
    assert {
        "name": "bind_digits",
        "about": "Binds handwritten digits, spoken digits and words into one space",
    } in found
    plain = fusion("recipes").out
    assert plain == fusion("recipes", "ls").out
    assert all(record["name"] in plain and record["about"] in plain for record in found)


def test_a_recipe_is_shown_as_it_is(fusion: Fusion) -> None:
    found = fusion("recipes", "show", "bind_digits").out
    assert found.startswith("# fusion train bind_digits\n")
    Path("again.yaml").write_text(found, "utf-8")
    data = read_recipe("again.yaml").model_dump()
    assert data == read_recipe("bind_digits").model_dump() | {"name": "again"}


def test_a_copied_recipe_is_the_same_recipe(fusion: Fusion) -> None:
    assert fusion("recipes", "copy", "bind_digits").out == "bind_digits.yaml\n"
    assert fusion("recipes", "copy", "bind_digits", "mine.yaml").out == "mine.yaml\n"
    assert Path("mine.yaml").read_text("utf-8") == Path("bind_digits.yaml").read_text("utf-8")
    assert read_recipe("bind_digits.yaml") == read_recipe("bind_digits")


def test_a_copy_overwrites_nothing(fusion: Fusion) -> None:
    Path("mine.yaml").write_text("precious", "utf-8")
    found = fusion("recipes", "copy", "bind_digits", "mine.yaml")
    assert (found.code, found.err) == (1, "error: mine.yaml exists; name another file\n")
    assert Path("mine.yaml").read_text("utf-8") == "precious"


def test_a_copy_into_a_folder_that_is_not_there_is_one_message(fusion: Fusion) -> None:
    found = fusion("recipes", "copy", "bind_digits", "no/such/mine.yaml")
    assert (found.code, found.out) == (1, "")
    assert found.err == "error: [Errno 2] No such file or directory: 'no/such/mine.yaml'\n"


def test_doctor_says_what_is_installed(fusion: Fusion) -> None:
    found = fusion("doctor", "--json").json
    assert found["problems"] == []
    assert set(found["plugins"]) >= {"builtin", "scratch", "digits"}
    assert "missing" not in found["versions"].values()
    plain = fusion("doctor")
    assert plain.code == 0
    assert f"torch         {found['versions']['torch']}" in plain.out


def test_a_blocked_plugin_is_said_to_be_blocked(fusion: Fusion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_BLOCK", "digits")
    found = fusion("doctor", "--json").json
    assert found["blocked"] == ["digits"]
    assert "digits" not in found["plugins"]


def test_a_faulty_plugin_is_warned_of_and_makes_the_doctor_fail(
    fusion: Fusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "faulty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[fusion]\nfaulty = no_such_module\n", "utf-8")
    monkeypatch.syspath_prepend(os.fspath(tmp_path))
    found = fusion("doctor", "--json")
    assert found.code == 1
    [problem] = found.json["problems"]
    assert problem.startswith("plugin 'faulty' (faulty 1.0): cannot be imported: ModuleNotFoundError")
    assert found.err.startswith("warning: plugin 'faulty' (faulty 1.0): cannot be imported")
    assert "FUSION_BLOCK=faulty silences this" in found.err
    listed = fusion("plugins", "ls", "--json").json
    assert [fault["plugin"] for fault in listed["quarantine"]] == ["faulty"]
    assert "in quarantine" in fusion("plugins", "ls").out


def test_an_option_that_may_be_left_out_is_written_as_in_the_signature(fusion: Fusion) -> None:
    lines = fusion("plugins", "show", "timm-image").out.splitlines()
    assert "  size: int | None = None  (≥ 1)" in lines
    lines = fusion("plugins", "show", "contrastive").out.splitlines()
    assert "  pairs: list[tuple[str, str]] | None = None" in lines
