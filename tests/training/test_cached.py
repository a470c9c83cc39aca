"""Trainings that read features from the cache end as those that compute them, and never read wrong ones."""

import json
import pickle
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from fusion import DataError, Recipe, RecipeError, Registry, Run, TrainingError, train
from fusion.cache.cached import cached
from fusion.picks import complete
from fusion.training.launch import launch
from fusion.training.steps import training_steps
from fusion.transfer.initial import initial_model
from tests.training.toys import lines, recipe, same, weights, write

Make = Callable[..., Recipe]

FROZEN = {"tune": {"mode": "frozen"}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without anything in it."""
    monkeypatch.setenv("FUSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def frozen() -> Make:
    """Build a recipe with a frozen image and a frozen text; the audio is frozen too where it is said."""

    def build(changes: dict[str, Any] | None = None, *, audio: bool = False, cache: Any = None) -> Recipe:
        encoders = {
            "image": {"name": "toy-image", **FROZEN},
            "text": {"name": "toy-letters", **FROZEN},
            "audio": {"name": "toy-audio", **(FROZEN if audio else {"cache": None})},
        }
        for name in ("image", "text", "audio")[: 3 if audio else 2]:
            encoders[name]["cache"] = cache
        sources = {
            "all": {
                "name": "toy-captions",
                "broken": [3],
                "blank": [7, 11],
                "view": ["text", "audio", "image"],
            },
            "heard": {"name": "toy-captions", "rows": 17, "view": ["audio", "text"], "without": ["image"]},
            "seen": {"name": "toy-captions", "rows": 9, "without": ["text"]},
        }
        base = {"encoders": encoders, "sources": sources, "augment": {} if audio else {"audio": [NOISE]}}
        evaluate = {"sources": {"test": {"name": "toy-captions", "rows": 12}}}
        return recipe({**base, "train.steps": 24, "evaluate": evaluate, **(changes or {})})

    return build


NOISE = {"name": "toy-noise"}


def kept(cache: Path, array: str) -> list[Path]:
    return sorted(cache.glob(f"*/{array}-*.npy"))


def measured(run: Run) -> dict[str, Any]:
    """Return the metrics that do not depend on the machine."""
    return {key: value for key, value in run.metrics.items() if "second" not in key and "memory" not in key}


@pytest.mark.parametrize(("audio", "fuser"), [(False, "attend"), (True, "attend"), (True, "mean")])
def test_a_training_with_the_cache_is_the_one_without(
    audio: bool, fuser: str, frozen: Make, registry: Registry, tmp_path: Path, toy: ModuleType
) -> None:
    options = {"heads": 2, "dropout": 0.1} if fuser == "attend" else {}
    changes = {"fuser": {"name": fuser, "modality_dropout": 0.3, **options}}
    plain = train(frozen(changes, audio=audio, cache=False), tmp_path / "plain", registry=registry)
    first = train(frozen(changes, audio=audio), tmp_path / "first", registry=registry)
    toy.Reader.seen = toy.Captioned.read = 0
    second = train(frozen({**changes, "evaluate": {}}, audio=audio), tmp_path / "second", registry=registry)
    assert toy.Reader.seen == 0
    assert toy.Captioned.read <= (24 + 17 + 9 + 4 if audio else 300)  # probes, and once more what is broken
    assert plain.metrics["data/bad_rows"] > 1
    for other in (first, second):
        for one, two in zip(lines(plain), lines(other), strict=True):
            assert two["loss"] == pytest.approx(one["loss"], abs=1e-6)
        assert (other.folder / "ledger.jsonl").read_text() == (plain.folder / "ledger.jsonl").read_text()
    ours, theirs = measured(first), measured(plain)
    assert ours.keys() == theirs.keys()
    assert all(ours[key] == pytest.approx(theirs[key], abs=1e-6) for key in theirs)
    assert "cache" not in plain.manifest
    assert first.manifest["cache"]["text"]["rows"] == 24 + 17


@pytest.mark.parametrize("audio", [False, True], ids=["rows are looked at", "no row is"])
def test_batches_are_the_same_to_the_bit_but_for_what_encoders_give(
    audio: bool, frozen: Make, registry: Registry, toy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fusion_toy", toy)  # or it could not be pickled
    recipe = complete(frozen({"train.batch": 12}, audio=audio), registry)
    torch.manual_seed(0)
    model, _ = initial_model(recipe, registry)
    plain = training_steps(recipe, model, registry)
    kept, _ = cached(plain, recipe, model, registry, launch(recipe.train))
    kept = pickle.loads(pickle.dumps(kept))  # as a loader worker gets it
    several = 0
    for step in range(24):
        (ours, bad), (theirs, known) = kept[step], plain[step]
        assert bad == known
        several += len(bad)
        for one, other in zip(ours._replace(inputs={}), theirs._replace(inputs={}), strict=True):
            named = isinstance(one, dict)
            pairs = zip(one.values(), other.values(), strict=True) if named else [(one, other)]
            assert not named or one.keys() == other.keys()
            assert all(
                len(mine) == 0 or torch.equal(mine.nan_to_num(), its.nan_to_num()) for mine, its in pairs
            )
        assert ours.inputs.keys() == theirs.inputs.keys()
        for name, inputs in ours.inputs.items():
            given, made = (model.eval().encode(name, part) for part in (inputs, theirs.inputs[name]))
            torch.testing.assert_close(given.pooled, made.pooled)
            if given.mask is not None and made.mask is not None:
                assert torch.equal(given.mask, made.mask)
                torch.testing.assert_close(given.tokens[given.mask], made.tokens[made.mask])
    assert several > 2


SHORT = {"train.steps": 12, "evaluate": {}, "fuser": {"name": "attend", "heads": 2, "modality_dropout": 0.3}}


@pytest.fixture
def trained(frozen: Make, registry: Registry, tmp_path: Path) -> Callable[..., list[float]]:
    """Train with changes, and return the losses."""

    def losses(changes: dict[str, Any] | None = None, **options: Any) -> list[float]:
        made = frozen({**SHORT, **(changes or {})}, **options)
        run = train(made, tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}", registry=registry)
        return [line["loss"] for line in lines(run)]

    return losses


Trained = Callable[..., list[float]]


def test_two_processes_share_the_work_and_train_what_one_does(
    frozen: Make, registry: Registry, torchrun: Any, tmp_path: Path, cache: Path
) -> None:
    made = frozen({**SHORT, "evaluate": {"batch": 5}}, audio=True)
    path = write(made, tmp_path / "toy.yaml")
    done = torchrun(2, "-m", "fusion", "train", str(path), "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("image: 33 rows from the cache") == 1
    halves = sorted(
        tuple(len(np.load(file)) for file in sorted(entry.glob("counts-*"))) for entry in cache.iterdir()
    )
    # whole batches of 5; the targets of three sources have none
    assert halves == [(), (), (), (5, 4), (5, 4), (10, 7), (10, 7), (10, 14), (10, 14), (10, 14)]
    one = train(made, tmp_path / "one", registry=registry)
    for alone, together in zip(lines(one), lines(Run(tmp_path / "two")), strict=True):
        assert together["loss"] == pytest.approx(alone["loss"], abs=1e-5)


MACHINES = """
import os
os.environ["LOCAL_RANK"], os.environ["FUSION_CACHE"] = "0", os.environ["FUSION_CACHE"] + os.environ["RANK"]
from fusion.cli import main
main()
"""


def test_each_machine_fills_a_cache_of_its_own_also_where_only_one_lacks_something(
    frozen: Make, torchrun: Any, tmp_path: Path
) -> None:
    recipe, script = tmp_path / "toy.yaml", tmp_path / "machines.py"
    write(frozen(SHORT), recipe)
    script.write_text(MACHINES)
    for number in range(2):
        done = torchrun(2, str(script), "train", str(recipe), "--out", str(tmp_path / f"run{number}"))
        assert done.returncode == 0, done.stderr
        for machine in range(2):
            entries = list((tmp_path / f"cache{machine}").iterdir())
            assert len(entries) == 4
            assert all(not list(entry.glob("*-1.npy")) for entry in entries)
        shutil.rmtree(tmp_path / "cache1")


@pytest.mark.parametrize("array", ["pooled", "tokens", "counts", "faults", "target0"])
def test_a_flipped_bit_is_found_before_anything_is_trained_on(
    array: str, trained: Trained, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = trained(audio=True)
    file = max(cache.glob(f"*/{array}-0.*"), key=lambda path: path.stat().st_size)
    content = file.read_bytes()
    file.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    capsys.readouterr()
    assert trained(audio=True) == right
    assert f"{file.parent} is damaged: {file.name}; it is computed anew" in capsys.readouterr().err
    assert file.read_bytes() == content
    assert trained(audio=True) == right
    assert "anew" not in capsys.readouterr().err


def test_lost_files_and_entries_of_something_else_are_computed_anew(
    trained: Trained, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = trained(audio=True)
    entries = sorted(path.parent for path in cache.glob("*/tokens-0.npy"))
    kept = [(entry / "entry.json").read_text() for entry in entries]
    (entries[0] / "pooled-0.npy").unlink()
    shutil.rmtree(entries[1])
    shutil.copytree(entries[2], entries[1])
    capsys.readouterr()
    assert trained(audio=True) == right
    said = capsys.readouterr().err
    assert f"{entries[0]} is damaged: " in said
    assert f"{entries[1]} is of something else; it is computed anew" in said
    (entries[0] / "entry.json").write_text("{")
    assert trained(audio=True) == right
    assert f"{entries[0]} is damaged: " in capsys.readouterr().err
    made = [json.loads((entry / "entry.json").read_text()) for entry in entries]
    assert [one["files"] for one in made] == [json.loads(text)["files"] for text in kept]


def test_other_weights_options_sources_and_fusers_have_entries_of_their_own(
    frozen: Make, trained: Trained, cache: Path
) -> None:
    trained()
    assert len(list(cache.iterdir())) == 4  # image of all and seen, text of all and heard

    def added(changes: dict[str, Any], **options: Any) -> int:
        before = len(list(cache.iterdir()))
        trained(changes, **options)
        return len(list(cache.iterdir())) - before

    sources = frozen().model_dump()["sources"]
    encoders = frozen().model_dump()["encoders"]
    assert added({}) == 0
    assert added({"train.lr": 0.1, "objectives": {"align": {"name": "contrastive"}}}) == 0
    assert added({"train.seed": 1}) == 4  # of which the encoders' random weights depend
    assert added({"encoders": encoders | {"text": encoders["text"] | {"scale": 2.0}}}) == 2
    assert added({"sources": sources | {"all": sources["all"] | {"first": "b"}}}) == 2
    assert added({"fuser": {"name": "mean"}}) == 4
    assert added({}, cache="fp16") == 4


def test_a_source_that_changed_under_the_same_options_is_seen_at_rows_that_are_compared(
    trained: Trained, toy: ModuleType, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(audio=True)
    before = {path.name for path in cache.iterdir()}
    right = toy.Captioned.__getitem__
    monkeypatch.setattr(toy.Captioned, "__getitem__", lambda rows, at: {**right(rows, at), "label": 1})
    trained(audio=True)
    added = [
        json.loads((path / "entry.json").read_text())["key"]
        for path in cache.iterdir()
        if path.name not in before
    ]
    assert [key.get("modality") for key in added] == [None] * 3  # the targets


def test_a_sample_that_changed_elsewhere_is_a_bad_row_where_rows_are_looked_at(
    frozen: Make, registry: Registry, toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = {"sources": {"all": {"name": "toy-captions", "rows": 90}}, "train.batch": 30}
    train(frozen({**SHORT, **big}), tmp_path / "run", registry=registry)
    right = toy.Captioned.__getitem__

    def changed(rows: Any, at: int) -> Any:
        row = right(rows, at)
        return row if at != 4 else {**row, "text": type(row["text"])("other" for _ in row["text"])}

    monkeypatch.setattr(toy.Captioned, "__getitem__", changed)
    run = train(frozen({**SHORT, **big}), tmp_path / "again", registry=registry)
    [line] = map(json.loads, (run.folder / "ledger.jsonl").read_text().splitlines())
    assert (line["row"], line["reason"][:42]) == (4, "text: the sample has changed since its fea")


def test_rows_that_can_be_read_now_are_computed(
    trained: Trained, toy: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(toy.Letters, "decode", lambda letters, raw: _torn(raw))
        broken = trained(audio=True)
    mended = trained(audio=True)
    assert "lacks rows that can be read now; it is computed anew" in capsys.readouterr().err
    assert mended != broken
    assert mended == pytest.approx(trained(audio=True, cache=False), abs=1e-6)


def _torn(raw: str) -> Any:
    if len(raw) > 9:
        raise DataError("the line is torn")
    return torch.tensor([float(ord(letter) % 7) for letter in raw])


# what may be kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tune": {"mode": "full"}},
            r"encoders\.text\.cache: the encoder learns \(tune: {mode: full}\), so its",
        ),
        (
            {"tune": {"mode": "gradual", "start": 10_000, "end": 20_000}},
            r"the encoder learns \(tune: {mode: gradual}\)",
        ),
        ({"tune": {"mode": "lora"}}, r"the encoder learns"),
        (
            {"augment": {"text": [NOISE]}},
            r"encoders\.text\.cache: augment\.text varies the samples, so no features",
        ),
        ({"sources": {"all": {"name": "toy-stream"}}}, r"sources\.all is a stream, whose rows have no place"),
    ],
)
def test_what_cannot_be_kept_is_refused_where_it_is_asked_for_and_computed_where_not(
    changes: dict[str, Any], message: str, frozen: Make, registry: Registry, tmp_path: Path, cache: Path
) -> None:
    def made(wanted: Any) -> Recipe:
        text = {"name": "toy-text", "cache": wanted, "tune": changes.get("tune", {"mode": "frozen"})}
        encoders = {"image": {"name": "toy-image"}, "text": text}
        rest = {key: value for key, value in changes.items() if key != "tune"}
        return frozen(
            {**SHORT, "encoders": encoders, "sources": {"all": {"name": "toy"}}, "augment": {}, **rest}
        )

    for wanted in (True, "fp16"):
        with pytest.raises(RecipeError, match=message):
            train(made(wanted), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()
    for given in (None, False):
        run = train(made(given), tmp_path / f"run-{given}", registry=registry)
        assert "cache" not in run.manifest
    assert not cache.exists()


@pytest.mark.parametrize("given", ["fp32", "yes", 3, 1.0, {}])
def test_a_cache_of_another_kind_is_refused(given: Any, frozen: Make) -> None:
    with pytest.raises(RecipeError, match=r"encoders\.image\.cache: .*: give true \(fp32\), fp16, false, or"):
        frozen({"encoders": {"image": {"name": "toy-image", "cache": given}}})


def test_half_precision_takes_half_the_room_and_says_what_it_cannot_hold(
    trained: Trained, cache: Path, frozen: Make
) -> None:
    whole = trained()
    size = sum(file.stat().st_size - 128 for file in kept(cache, "tokens"))
    half = trained(cache="fp16")
    assert sum(file.stat().st_size - 128 for file in kept(cache, "tokens")) == 1.5 * size
    assert half == pytest.approx(whole, abs=2e-2)
    assert half != whole
    shutil.rmtree(cache)
    encoders = frozen(cache="fp16").model_dump()["encoders"]
    with pytest.raises(
        TrainingError, match=r"encoders\.text\.cache: fp16 cannot hold features as large as .*use true"
    ):
        trained({"encoders": encoders | {"text": encoders["text"] | {"scale": 1e6}}})
    assert not list(cache.glob(".*"))


def test_entries_that_are_filled_together_have_room_together(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    monkeypatch.setenv("FUSION_CACHE_LIMIT", "100 B")
    trained()
    said = capsys.readouterr().err
    found = re.findall(
        r"(?:image|text) of all cannot be kept in the cache \(it needs ([\d.]+) KB, more", said
    )
    needed = sum(map(float, found))
    assert len(found) == 2
    monkeypatch.setenv("FUSION_CACHE_LIMIT", f"{needed - 0.2} KB")
    trained()
    assert re.search(r"text of all cannot be kept .* KB beside [\d.]+ KB, more than", capsys.readouterr().err)
    shutil.rmtree(cache)
    monkeypatch.setenv("FUSION_CACHE_LIMIT", f"{needed + 0.2} KB")
    trained()
    assert "of all cannot" not in capsys.readouterr().err


def test_a_place_where_nothing_can_be_written_is_told(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    plain = trained(audio=True, cache=False)
    monkeypatch.setenv("FUSION_CACHE", str(tmp_path / "file" / "cache"))
    assert trained(audio=True) == pytest.approx(plain, abs=1e-6)
    assert "cannot be kept in the cache ([Errno 20] Not a directory: " in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["100 B", "3000"])
def test_what_has_no_room_is_told_and_computed_in_every_step(
    limit: str,
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cache: Path,
) -> None:
    plain = trained(audio=True, cache=False)
    monkeypatch.setenv("FUSION_CACHE_LIMIT", limit)
    assert trained(audio=True) == pytest.approx(plain, abs=1e-6)
    said = capsys.readouterr().err
    assert "text of all cannot be kept in the cache (it needs " in said
    assert sum(file.stat().st_size for file in cache.rglob("*.npy")) < 6000
    assert not list(cache.glob(".*"))


# stopping and going on


def test_a_resumed_training_ends_bit_for_bit_as_if_it_had_not_stopped(
    frozen: Make, registry: Registry, tmp_path: Path, python: Any
) -> None:
    made = frozen(SHORT)
    path = write(made, tmp_path / "toy.yaml")
    stopped = python("-m", "fusion", "train", str(path), "--out", str(tmp_path / "run"), TOY_SIGNAL="2@5")
    assert "stopped after step" in stopped.stderr
    resumed = train(made, tmp_path / "run", resume=True, registry=registry)
    assert same(weights(train(made, tmp_path / "whole", registry=registry)), weights(resumed))


def test_a_training_killed_while_it_writes_leaves_nothing_that_counts(
    frozen: Make, tmp_path: Path, python: Any, trained: Trained, cache: Path
) -> None:
    path = write(frozen({**SHORT, "evaluate": {"batch": 4}}), tmp_path / "toy.yaml")
    killed = python(
        "-m", "fusion", "train", str(path), "--out", str(tmp_path / "run"), TOY_KILLED_AT_TEXT="20"
    )
    assert killed.returncode == -9
    left = list(cache.iterdir())
    assert left
    assert all(entry.name.startswith(".") and list(entry.glob("pooled-0.npy")) for entry in left)
    assert trained({"evaluate": {"batch": 4}}) == pytest.approx(trained(cache=False), abs=1e-6)
    assert not list(cache.glob(".*"))  # swept away


@pytest.mark.parametrize("audio", [False, True])
def test_loader_workers_and_trainings_of_some_rows_read_the_same(
    audio: bool, trained: Trained, cache: Path
) -> None:
    plain = trained({"train.steps": 3}, audio=audio, cache=False)
    assert trained({"train.steps": 3, "train.workers": 1}, audio=audio) == pytest.approx(plain, abs=1e-6)
    rows = {json.loads(path.read_text())["rows"] for path in cache.glob("*/entry.json")}
    assert rows == {6}  # of each source
