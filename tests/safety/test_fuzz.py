"""Broken inputs by the thousand: each is read, or refused by an error of fusion and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion import FusionError, Registry, Run, decode, load
from fusion.inference import Predictor
from fusion.recipe.file import Draft
from fusion.recipe.text import dump, parse

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["*a", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
def test_five_thousand_broken_inputs(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, SCRIPT, "5000"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert re.search(r"^5,000 inputs in \d+ s; failed: 0$", done.stdout, re.MULTILINE)
    kinds = re.findall(r"^(\w+) +read +([\d,]+) +refused +([\d,]+)", done.stdout, re.MULTILINE)
    assert len(kinds) == 8
    assert all(int(refused.replace(",", "")) > 10 for _, _, refused in kinds)


@pytest.fixture(scope="module")
def predictor(tiny_run: Run, registry: Registry) -> Predictor:
    return load(tiny_run, "cpu", registry)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(row=st.dictionaries(st.sampled_from(["image", "audio", "text", "else"]), VALUES | st.binary()))
def test_a_row_is_read_or_refused(predictor: Predictor, row: dict[str, object]) -> None:
    try:
        found = predictor.encode(row)
    except FusionError:
        return
    assert found.fused.isfinite().all()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=st.text(st.characters(codec=None, categories=None)))
def test_a_text_that_is_read_can_be_written(text: str) -> None:
    try:
        decode.text(text).encode()
        readable = True
    except FusionError:
        readable = False
    assert readable == (bool(text.strip()) and not re.search("[\ud800-\udfff]", text))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    key=st.sampled_from(
        ["sources", "encoders", "fuser", "objectives", "train", "evaluate", "augment", "study"]
    ),
    value=VALUES,
)
def test_a_recipe_is_read_or_refused(tiny_run: Run, registry: Registry, key: str, value: object) -> None:
    data, lines = parse((tiny_run.folder / "recipe.yaml").read_text("utf-8"))
    try:
        recipe = Draft({**data, key: value}, lines, "recipe").recipe([], registry)
    except FusionError:
        return
    assert parse(dump(recipe.model_dump(mode="json")))[0] == recipe.model_dump(mode="json")
