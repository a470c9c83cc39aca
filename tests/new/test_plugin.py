"""A new plugin keeps its contract as it is written, and is found when it is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from fusion import Registry
from fusion.errors import PluginError, RunError
from fusion.new.scaffold import new_plugin, new_project
from tests.new.conftest import Python


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    folder: Path = tmp_path_factory.mktemp("new") / "fusion-heart-rate"
    written = new_plugin("heart_rate", folder, registry)
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    return folder


def test_it_is_found_when_installed_and_keeps_its_contract(
    heart: Path, tmp_path: Path, python: Python
) -> None:
    pip = ("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    installed = python(heart, *pip, "--target", str(tmp_path / "site"), ".")
    assert installed.returncode == 0, installed.stderr
    checked = python(
        tmp_path, "-m", "fusion", "plugins", "check", "heart-rate-net", path=str(tmp_path / "site")
    )
    owner = "plugin 'heart_rate' (fusion-heart-rate 0.1.0)"
    assert checked.stdout.endswith(f"encoder heart-rate-net of {owner} keeps its contract\n"), checked.stderr


def test_its_tests_pass_and_its_recipe_trains(heart: Path, tmp_path: Path, python: Python) -> None:
    done = python(heart, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    code = (
        "import fusion_heart_rate as plugin\n"
        "from fusion import Registry, read_recipe, train\n"
        "registry = Registry(plugins={'heart_rate': plugin})\n"
        f"run = train(read_recipe('recipe.yaml', registry=registry), {str(tmp_path)!r}, registry=registry)\n"
        "print(run.metrics['zero_shot/heart_rate/accuracy'])"
    )
    trained = python(heart, "-c", code)
    assert trained.returncode == 0, trained.stderr
    assert float(trained.stdout.splitlines()[-1]) > 0.9  # rows of another seed; chance is a third


@pytest.mark.parametrize("name", ["Thermal", "2d", "heart-", "a__b", "", "heart rate"])
def test_a_name_that_is_no_modality_is_refused(tmp_path: Path, registry: Registry, name: str) -> None:
    with pytest.raises(PluginError, match=r"is not made of lower-case words.*use a name like 'depth'"):
        new_plugin(name, tmp_path / "new", registry)
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_an_installed_plugin_is_refused(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(PluginError, match=r"plugin 'digits' .* is installed already; use another name"):
        new_plugin("digits", tmp_path / "new", registry)


def test_nothing_is_written_over(heart: Path, registry: Registry) -> None:
    with pytest.raises(RunError, match="exists and is not an empty folder"):
        new_plugin("heart_rate", heart, registry)


def test_what_is_written_is_in_good_style(heart: Path, tmp_path: Path) -> None:
    new_project(tmp_path / "birds")
    for folder in (heart, tmp_path / "birds"):
        for command in (["check", "--select", "E,F,I,UP,B,RUF,N,SIM"], ["format", "--check"]):
            ruff = [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "110", "."]
            done = subprocess.run(ruff, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout
