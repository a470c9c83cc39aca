"""A profile tells where the time of some steps goes, and changes nothing."""

import json
import re
from pathlib import Path

import pytest

from fusion import Registry, train
from tests.training.toys import recipe, weights


def test_a_profile_is_a_trace_and_one_line_whose_shares_sum_up(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"train.steps": 10}
    plain = train(recipe(settings), tmp_path / "plain", registry=registry)
    run = train(recipe(settings), tmp_path / "run", profile=True, registry=registry)
    told = capsys.readouterr().err
    found = re.search(r"profile of 5 steps of [\d.]+ ms: (.*); the trace is (.*)", told)
    assert found is not None, told
    shares = dict(part.split() for part in found[1].split(", "))
    assert list(shares) == ["data", "forward", "backward", "optimizer", "waiting"]
    assert 97 <= sum(int(share.rstrip("%")) for share in shares.values()) <= 103
    assert int(shares["forward"].rstrip("%")) > 5
    assert int(shares["backward"].rstrip("%")) > 5
    events = json.loads(Path(found[2]).read_text("utf-8"))["traceEvents"]
    steps = [event for event in events if event.get("name") == "Optimizer.step#AdamW.step"]
    assert len(steps) == 5
    first, second = weights(plain), weights(run)
    assert all(first[name].equal(second[name]) for name in first)


def test_a_training_of_few_steps_says_that_there_was_none_to_profile(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(recipe({"train.steps": 2}), tmp_path / "run", profile=True, registry=registry)
    assert "--profile needs a training of more than 3 steps" in capsys.readouterr().err
    assert not (run.folder / "profile.json").exists()
