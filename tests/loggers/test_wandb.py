"""What Weights & Biases would send is what was logged, under one id, and nothing is sent."""

import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from wandb.proto.wandb_internal_pb2 import Record

from fusion.loggers.wandb import WandB
from tests.loggers.conftest import Follow

BLOCK, WHOLE, LAST = 2**15, 1, 4


def records(path: Path) -> list[Any]:
    """Read a file of records: 7 bytes, then blocks of 32 KiB, whose parts tell checksum, length and kind."""
    data, place, found, whole = path.read_bytes(), 7, [], b""
    while place + 7 <= len(data):
        if BLOCK - place % BLOCK < 7:  # too little of a block for a part
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (WHOLE, LAST):
            found.append(Record.FromString(whole))
            whole = b""
    return found


def finished(path: Path) -> dict[str, list[Any]]:
    """Return the records of a run by their kind, once its other process has written the last of them."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        found: dict[str, list[Any]] = {}
        for record in records(path):
            kind = str(record.WhichOneof("record_type"))
            found.setdefault(kind, []).append(getattr(record, kind))
        if "exit" in found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{path} has no end")


def plain(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_both_parts_of_a_training_are_one_run_with_recipe_and_metrics(follow: Follow) -> None:
    folder = follow(WandB)
    name = (folder / "id").read_text().strip()
    paths = list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert [path.name for path in paths] == [f"run-{name}.wandb"] * 2
    parts = sorted(
        (finished(path) for path in paths), key=lambda part: part["exit"][0].exit_code, reverse=True
    )
    told = [
        [
            (row["_step"], row["loss"], row["loss/align"])
            for row in map(plain, (one.item for one in part["history"]))
        ]
        for part in parts
    ]
    assert told == [[(1, 4.0, 1.5), (2, 3.0, 1.25)], [(2, 3.0, 1.25), (3, 2.0, 1.0)]]
    for part in parts:
        [run] = part["run"]
        assert (run.run_id, run.project, run.display_name) == (name, "digits", "run-2")
        assert plain(run.config.update).items() >= {"train.lr": 0.5, "classes": ["one", "two"]}.items()
    summary = {key: value for one in parts[1]["summary"] for key, value in plain(one.update).items()}
    assert summary["retrieval/image->audio/hit@1"] == 0.75


def test_the_environment_may_choose_the_mode_and_the_recipe_overrides_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert WandB()._mode == "offline"
    monkeypatch.setenv("WANDB_MODE", "online")
    assert WandB()._mode == "online"
    assert WandB(mode="offline")._mode == "offline"
