"""The plugin of a stranger: installed with pip, checked, trained, and missed when it is gone."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PLUGIN = Path(__file__).parents[2] / "examples" / "fusion-sensor"
Fusion = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the plugin; it builds with the hatchling that is here."""
    pytest.importorskip("hatchling")
    folder: Path = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--target", str(folder), str(PLUGIN)],
        check=True,
        timeout=120,
    )
    return folder


@pytest.fixture(scope="module")
def fusion(site: Path) -> Fusion:
    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "fusion", *arguments],
            env={**os.environ, "PYTHONPATH": str(site), **environment},
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run


@pytest.mark.parametrize("name", ["sensor-conv", "sensor-digits", "sensor-turn"])
def test_its_components_keep_the_contract(name: str, fusion: Fusion) -> None:
    checked = fusion("plugins", "check", name)
    assert checked.returncode == 0, checked.stderr
    assert f"{name} of plugin 'sensor' (fusion-sensor 0.1.0) keeps its contract" in checked.stdout


def test_traces_are_seeded_and_no_writer_is_in_both_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PLUGIN)
    from fusion_sensor.strokes import TIMES, WRITERS, trace

    assert not set(WRITERS["train"]) & set(WRITERS["test"])
    for split, writers in WRITERS.items():
        shapes = {trace(split, index).shape for index in range(len(writers) * TIMES * 10)}
        assert {channels for _, channels in shapes} == {3}
        assert all(30 <= length <= 75 for length, _ in shapes)
    np.testing.assert_array_equal(trace("train", 7), trace("train", 7))


def test_a_trace_is_turned_in_space_and_its_length_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PLUGIN)
    from fusion_sensor.augmentation import SensorTurn
    from fusion_sensor.strokes import trace

    def vary(raw: Any, **options: float) -> Any:
        return SensorTurn(**options)(raw, np.random.default_rng(0), lambda: None)

    drawn = trace("train", 0)
    turned = vary(drawn, noise=0.0)
    assert np.abs(turned - drawn).max() > 0.05
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=1), np.linalg.norm(drawn, axis=1), rtol=1e-5
    )  # a rotation keeps lengths
    axes, *_ = np.linalg.lstsq(drawn, turned, rcond=None)
    assert np.linalg.det(axes) == pytest.approx(1, abs=1e-4)  # and mirrors nothing
    np.testing.assert_array_equal(vary(drawn, turn=0.0, noise=0.0), drawn)
    assert (vary(drawn, turn=0.0, noise=0.2) - drawn).std() == pytest.approx(0.2, rel=0.2)


def test_the_checks_of_its_readme_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PLUGIN)
    readme = (PLUGIN / "README.md").read_text("utf-8")
    [code] = re.findall(r"```python\n(.*?)```", readme, re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    tests = [test for name, test in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_sound_and_trace_meet_in_the_test_split_only(fusion: Fusion, tmp_path: Path) -> None:
    recipe = ("train", str(PLUGIN / "bind_sensor.yaml"), "--tiny", "--out", str(tmp_path / "run"))
    refused = fusion(*recipe, "sources.drawn.view=sensor-audio")
    assert refused.returncode == 1
    assert "sensor and audio meet in the test split only" in refused.stderr


@pytest.mark.slow
def test_traces_find_sounds_that_they_never_met(fusion: Fusion, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = fusion("train", str(PLUGIN / "bind_sensor.yaml"), "--out", str(out))
    assert trained.returncode == 0, trained.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert {key for key in metrics if key.startswith("train/rows/")} == {
        "train/rows/sensor+text",
        "train/rows/text+audio",
    }
    assert metrics["retrieval/sensor->audio/emergent"] is True
    assert metrics["retrieval/sensor->audio/hit@1"] >= 0.9
    plugins = json.loads((out / "manifest.json").read_text())["plugins"]
    assert plugins["sensor"] == {"distribution": "fusion-sensor", "version": "0.1.0"}

    missing = fusion("evaluate", str(out), FUSION_BLOCK="sensor")
    assert missing.returncode == 1
    assert "unknown encoder 'sensor-conv'" in missing.stderr
    assert "blocked by FUSION_BLOCK: sensor" in missing.stderr
    assert "sensor (fusion-sensor 0.1.0)" in missing.stderr


def test_no_core_file_knows_of_the_sensor() -> None:
    files = list((PLUGIN.parents[1] / "fusion").rglob("*.py"))
    assert len(files) > 50
    assert [file for file in files if "sensor" in file.read_text("utf-8").lower()] == []
