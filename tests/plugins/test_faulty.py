"""Faulty plugins are quarantined with words, and everything else goes on working.

A folder `x-1.0.dist-info` on sys.path is an installed distribution: no pip is needed.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fusion import PluginError, Registry, TrainingError, read_recipe, train
from fusion.picks import shrink

Install = Callable[..., None]

GOOD = """
from fusion import Component, hookimpl

@hookimpl
def fusion_fusers():
    return [Component("good", "fusion.fusers.mean:Mean")]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with one module of the same name, which is the plugin."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, code: str, version: str = "1.0", plugin: str | None = None) -> None:
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[fusion]\n{plugin or name} = {name}\n")
        (tmp_path / f"{name}.py").write_text(code)

    yield write
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def faults(registry: Registry) -> str:
    return "\n".join(map(str, registry.faults))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import nowhere_to_be_found", "cannot be imported: ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        ("x = 1", "implements no hook; mark its functions with @fusion.hookimpl"),
        (
            "FUSION_API = 99\n" + GOOD,
            "is written for plugin API 99, this fusion has 1; install one that fits",
        ),
        (
            GOOD.replace("fusion_fusers", "fusion_fuser"),
            r"unknown hook 'fusion_fuser'; did you mean 'fusion_fusers'\? known: fusion_attacks, ",
        ),
        (GOOD.replace("fusers():", "fusers(width):"), r"hook 'fusion_fusers'.*width"),
        (GOOD.replace("return", "1 / 0 #"), r"fusion_fusers\(\) failed: division by zero"),
        (GOOD.replace("return", "raise SystemExit #"), r"fusion_fusers\(\) failed"),
        (GOOD.replace("return [", "return {}, ["), r"fusion_fusers\(\) failed: it returned .*not a list of"),
        (GOOD.replace('"good"', '"Good One"'), "component name 'Good One' is not kebab-case"),
        (
            GOOD.replace("fusers", "encoders"),
            "component good: encoders and corruptions, and only they, name the modality",
        ),
        (GOOD.replace('"good"', '"mean"'), "fuser 'mean' is also offered by plugin 'builtin'"),
    ],
)
def test_a_faulty_plugin_is_quarantined_by_name_and_version(code: str, reason: str, install: Install) -> None:
    install("faulty", code, "2.7")
    install("honest", GOOD.replace('"good"', '"honest"'))
    registry = Registry()
    [fault] = registry.faults
    assert str(fault.origin) == "plugin 'faulty' (faulty 2.7)"
    with pytest.raises(
        PluginError, match=rf"(?s)unknown fuser 'good'.*plugin 'faulty' \(faulty 2\.7\): .*{reason}"
    ):
        registry.find("fuser", "good")
    assert {"mean", "concat", "honest"} <= set(registry.names("fuser"))
    assert registry.find("fuser", "mean").origin.plugin == "builtin"


def test_a_name_that_two_strangers_offer_goes_to_nobody(install: Install) -> None:
    install("one", GOOD, "1.1")
    install("two", GOOD, "2.2")
    registry = Registry()
    assert "good" not in registry.names("fuser")
    both = (
        r"'good' is offered by plugin 'one' \(one 1\.1\) and plugin 'two' \(two 2\.2\); block one: FUSION_B"
    )
    with pytest.raises(PluginError, match=both):
        registry.find("fuser", "good")
    assert len(registry.faults) == 2


def test_blocking_one_of_two_rivals_leaves_the_name_to_the_other(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("one", GOOD)
    install("two", GOOD)
    monkeypatch.setenv("FUSION_BLOCK", "two, other")
    registry = Registry()
    assert registry.find("fuser", "good").origin.plugin == "one"
    assert registry.faults == []
    with pytest.raises(PluginError, match="blocked by FUSION_BLOCK: two"):
        registry.find("fuser", "better")


def test_a_plugin_name_that_two_distributions_take_goes_to_nobody(install: Install) -> None:
    install("one", GOOD, "1.1", plugin="same")
    install("two", GOOD, "2.2", plugin="same")
    registry = Registry()
    assert "good" not in registry.names("fuser")
    for mine, other in (("one 1.1", "two 2.2"), ("two 2.2", "one 1.1")):
        taken = f"plugin 'same' ({mine}): the plugin name is also taken by plugin 'same' ({other})"
        assert taken in faults(registry)


def test_a_plugin_that_calls_itself_builtin_does_not_replace_the_core(install: Install) -> None:
    install("pretender", GOOD, plugin="builtin")
    registry = Registry()
    assert "plugin 'builtin' (pretender 1.0): the plugin name is also taken by" in faults(registry)
    assert "mean" in registry.names("fuser")


def test_one_module_under_two_plugin_names_is_registered_once(install: Install, tmp_path: Path) -> None:
    install("twice", GOOD)
    (tmp_path / "twice-1.0.dist-info" / "entry_points.txt").write_text("[fusion]\na = twice\nb = twice\n")
    registry = Registry()
    assert registry.find("fuser", "good").origin.plugin == "a"
    assert "plugin 'b' (twice 1.0): is the same module as plugin 'a'" in faults(registry)


def test_an_entry_point_that_is_no_module_is_quarantined(install: Install, tmp_path: Path) -> None:
    install("number", GOOD + "\nanswer = 42\n")
    (tmp_path / "number-1.0.dist-info" / "entry_points.txt").write_text("[fusion]\nnumber = number:answer\n")
    registry = Registry()
    assert "plugin 'number' (number 1.0): is a int, not a module" in faults(registry)


ENCODERS = """
from fusion import Component, hookimpl

@hookimpl
def fusion_encoders():
    return [Component("broken-text", "broken_parts:Broken", "text", tiny={"dim": 16, "layers": 1})]
"""
BROKEN = """
from fusion_scratch.text import ScratchText

class Broken(ScratchText):
    def forward(self, ids):
        encoding = super().forward(ids)
        return encoding._replace(pooled=%s)
"""


@pytest.mark.parametrize(
    ("pooled", "error", "message"),
    [
        (
            "encoding.pooled[:, 1:]",
            PluginError,
            r"encoders\.text \(broken-text of plugin 'broken' \(broken 3\.1\)\) returned pooled of shape "
            r"\(\d+, 15\), expected \(\d+, 16\)",
        ),
        (
            "encoding.pooled / 0",
            TrainingError,
            r"steps in a row, 1 to \d+, were left out: encoders\.text \(broken-text of plugin 'broken' "
            r"\(broken 3\.1\)\) gave NaN",
        ),
    ],
)
def test_training_names_the_plugin_whose_encoder_breaks(
    pooled: str, error: type[Exception], message: str, install: Install, tmp_path: Path
) -> None:
    install("broken", ENCODERS, "3.1")
    (tmp_path / "broken_parts.py").write_text(BROKEN % pooled)
    registry = Registry()
    recipe = read_recipe("bind_digits", ["encoders.text.name=broken-text"], registry)
    with pytest.raises(error, match=message):
        train(shrink(recipe, registry), tmp_path / "run", registry=registry)


def test_a_component_that_cannot_be_imported_is_named_when_it_is_picked(install: Install) -> None:
    install("hollow", GOOD.replace("fusion.fusers.mean:Mean", "hollow_parts:Missing"))
    registry = Registry()
    component = registry.find("fuser", "good").component
    with pytest.raises(PluginError, match="component good: cannot import 'hollow_parts:Missing'"):
        component.resolve()


def fusion(*arguments: str, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with the installed distributions in `path`."""
    return subprocess.run(
        [sys.executable, "-m", "fusion", *arguments],
        env={**os.environ, "PYTHONPATH": str(path), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_line_warns_of_a_faulty_plugin_and_works(install: Install, tmp_path: Path) -> None:
    install("faulty", "raise SystemExit(3)", "2.7")
    listed = fusion("plugins", "ls", path=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "scratch-text" in listed.stdout
    assert "warning: plugin 'faulty' (faulty 2.7): cannot be imported: SystemExit: 3" in listed.stderr
    blocked = fusion("plugins", "ls", path=tmp_path, FUSION_BLOCK="faulty")
    assert (blocked.returncode, blocked.stderr) == (0, "")


def test_help_works_with_a_faulty_plugin(install: Install, tmp_path: Path) -> None:
    install("faulty", "import nowhere_to_be_found")
    helped = fusion("--help", path=tmp_path)
    assert helped.returncode == 0, helped.stderr
    assert "Usage:" in helped.stdout
