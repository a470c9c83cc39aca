"""Rows become a batch: what is present, what is missing, what is equal, and what the fuser may see."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion import DataError, Processor, Target
from fusion.data.collate import UNREADABLE, Collator, fingerprint
from fusion.data.order import Slots

Build = Callable[..., Collator]

LABEL = Target(torch.long, below=10)
AGE = Target(torch.float32)
BOX = Target(torch.float32, (4,))


class Length(Processor):
    """Reads anything that has a length."""

    def decode(self, raw: Any, rng: np.random.Generator | None) -> Any:
        return len(raw)


def unnumbered(count: int) -> Slots:
    return Slots.unnumbered(count)


def test_presence_follows_the_keys_of_the_rows(collator: Build) -> None:
    samples = [
        collator().decode(row)
        for row in ({"image": [1, 2], "text": [3, 4]}, {"audio": [5, 6], "text": None}, {"image": [7, 8]}, {})
    ]
    batch = collator().stack(samples, unnumbered(4))
    assert {name: part.tolist() for name, part in batch.present.items()} == {
        "image": [True, False, True, False],
        "text": [True, False, False, False],
        "audio": [False, True, False, False],
    }
    # the inputs hold present rows only, in row order
    assert {name: part["x"].tolist() for name, part in batch.inputs.items()} == {
        "image": [[1, 2], [7, 8]],
        "text": [[3, 4]],
        "audio": [[5, 6]],
    }
    assert {name: part.tolist() for name, part in batch.shown.items()} == {
        name: part.tolist() for name, part in batch.present.items()
    }


def test_a_modality_that_no_row_has_has_no_inputs(collator: Build) -> None:
    batch = collator().stack([collator().decode({"text": [1, 2]})], unnumbered(1))
    assert list(batch.inputs) == ["text"]
    assert list(batch.present) == ["image", "text", "audio"]


def test_keys_that_no_encoder_reads_are_left_alone(collator: Build) -> None:
    sample = collator().decode({"image": [1, 2], "depth": object(), "title": "x"})
    assert list(sample.decoded) == ["image"]


def test_a_batch_knows_where_its_rows_are_from(collator: Build) -> None:
    slots = Slots(np.array([2, 0]), np.array([7, 10**12]), np.array([0, 3]))
    batch = collator().stack([UNREADABLE, UNREADABLE], slots)
    assert batch.source.tolist() == [2, 0]
    assert batch.row.tolist() == [7, 10**12]


def test_a_missing_target_is_marked_and_not_guessed(collator: Build) -> None:
    build = collator(label=LABEL, age=AGE, box=BOX)
    rows: list[dict[str, Any]] = [
        {"label": 3, "age": 0.5, "box": [1, 2, 3, 4]},
        {"label": None, "age": None},
        {"label": 0, "age": 2, "box": [1, math.nan, 3, 4]},
    ]
    targets = build.stack([build.decode(row) for row in rows], unnumbered(3)).targets
    assert targets["label"].tolist() == [3, -100, 0]
    assert targets["label"].dtype == torch.long
    torch.testing.assert_close(targets["age"], torch.tensor([0.5, math.nan, 2.0]), equal_nan=True)
    nan = math.nan
    expected = torch.tensor([[1.0, 2, 3, 4], [nan] * 4, [1, nan, 3, 4]])
    torch.testing.assert_close(targets["box"], expected, equal_nan=True)


def test_targets_of_all_rows_are_missing_in_a_batch_of_unreadable_rows(collator: Build) -> None:
    batch = collator(label=LABEL, age=AGE).stack([UNREADABLE] * 2, unnumbered(2))
    assert batch.targets["label"].tolist() == [-100, -100]
    assert batch.targets["age"].isnan().all()
    assert not any(part.any() for part in batch.present.values())
    assert [part.tolist() for part in batch.content.values()] == [[0, 0]] * 3


@pytest.mark.parametrize("label", [7, True, np.int64(7), np.uint8(7), np.uint64(7), torch.tensor(7)])
def test_a_whole_number_of_any_type_is_a_label(collator: Build, label: Any) -> None:
    assert collator(label=LABEL).decode({"label": label}).targets["label"].item() == int(label)


@pytest.mark.parametrize("age", [2, 2.0, np.float16(2), np.float64(2), torch.tensor(2.0), False])
def test_a_number_of_any_type_is_a_float_target(collator: Build, age: Any) -> None:
    target = collator(age=AGE).decode({"age": age}).targets["age"]
    assert target.dtype == torch.float32
    assert target.item() == float(age)


def test_a_target_that_cannot_be_written_to_is_read(collator: Build) -> None:
    box = np.arange(4, dtype=np.float32)
    box.flags.writeable = False  # arrays out of Arrow are like that
    assert collator(box=BOX).decode({"box": box}).targets["box"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"label": 10}, r"target 'label' is 10, outside 0\.\.9"),
        ({"label": -1}, r"target 'label' is -1, outside 0\.\.9"),
        ({"label": np.uint16(12)}, r"target 'label' is .*12.*, outside 0\.\.9"),
        ({"label": 1.5}, r"target 'label' is 1\.5, not a whole number"),
        ({"label": "seven"}, "target 'label' is 'seven', not a number"),
        ({"label": b"7"}, "target 'label' is b'7', not a number"),
        ({"label": 10**30}, "target 'label' is 10{30}, not a number"),
        ({"label": [1]}, r"target 'label' has shape \(1,\), expected \(\)"),
        ({"age": 1 + 2j}, r"target 'age' is \(1\+2j\), not a number"),
        ({"age": math.inf}, "target 'age' is inf, too large or infinite"),
        ({"age": 1e300}, r"target 'age' is 1e\+300, too large or infinite"),
        ({"age": object()}, "target 'age' is <object .*>, not a number"),
        ({"box": [1, 2, 3]}, r"target 'box' has shape \(3,\), expected \(4,\)"),
        ({"box": [1, [2], 3, 4]}, r"target 'box' is \[1, \[2\], 3, 4\], not a number"),
    ],
)
def test_a_target_that_does_not_fit_is_refused(collator: Build, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}$"):
        collator(label=LABEL, age=AGE, box=BOX).decode(row)


def test_a_sample_that_cannot_be_read_names_its_modality(collator: Build) -> None:
    with pytest.raises(DataError, match=r"^audio: no such file$"):
        collator().decode({"image": [1, 2], "audio": "no such file"})


SAMPLES: dict[str, Any] = {
    "text": "ein Bär",
    "path": Path("photos/1.png"),
    "path with a stray byte": os.fsdecode(b"photos/\xff.png"),
    "bytes": b"\x00\xff",
    "pixels": np.arange(12, dtype=np.uint8).reshape(2, 2, 3),
    "other shape": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "other type": np.arange(12, dtype=np.int16).reshape(3, 4),
    "strided": np.arange(24, dtype=np.uint8)[::2],
    "sound": (np.arange(3, dtype=np.float32), 8000),
    "other rate": (np.arange(3, dtype=np.float32), 16000),
    "two channels": (np.arange(4, dtype=np.float32).reshape(2, 2), 8000),
    "other channels": (np.arange(4, dtype=np.float32).reshape(4, 1), 8000),
}


def test_different_samples_have_different_fingerprints() -> None:
    prints = [fingerprint(sample) for sample in SAMPLES.values()]
    assert len(set(prints)) == len(SAMPLES) == 12
    assert 0 not in prints
    assert all(-(2**63) <= number < 2**63 for number in prints)


def test_equal_samples_have_equal_fingerprints() -> None:
    assert fingerprint(np.arange(24)[::2]) == fingerprint(np.arange(24)[::2].copy())
    assert fingerprint((np.ones(3), 8000)) == fingerprint((np.ones(3), np.int64(8000)))
    assert fingerprint(Path("a/b.png")) == fingerprint("a/b.png")


@pytest.mark.parametrize("raw", [object(), [1, 2], np.array([object()]), (np.array(["a", 1], object), 8000)])
def test_what_cannot_be_compared_across_processes_has_no_fingerprint(raw: Any) -> None:
    assert fingerprint(raw) == 0


def test_fingerprints_are_the_same_in_another_process() -> None:
    script = (
        "import numpy as np\nfrom pathlib import Path\nfrom fusion.data.collate import fingerprint\n"
        "for raw in ['a', b'a', Path('b'), np.ones(3), (np.ones(3), 8000)]: print(fingerprint(raw))"
    )
    outputs = []
    for hash_seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
        )
        outputs.append([int(line) for line in run.stdout.split()])
    here = [fingerprint(raw) for raw in ("a", b"a", Path("b"), np.ones(3), (np.ones(3), 8000))]
    assert outputs == [here, here]


def test_equal_content_is_marked_in_the_batch_and_absent_content_is_zero() -> None:
    read = Collator({"image": Length(), "text": Length(), "audio": Length()}, {})
    rows: list[dict[str, Any]] = [{"text": "cat"}, {"text": "dog", "image": "1.png"}, {"text": "cat"}]
    content = read.stack([read.decode(row) for row in rows], unnumbered(3)).content
    cat, dog, again = content["text"].tolist()
    assert cat == again != dog
    assert 0 not in (cat, dog)
    assert content["image"].tolist()[::2] == [0, 0]
    assert content["audio"].tolist() == [0, 0, 0]


ROW = {"image": [1, 2], "text": [3, 4], "audio": [5, 6]}


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dropout=st.floats(0, 0.999),
    names=st.sets(st.sampled_from(sorted(ROW)), min_size=1),
)
def test_modality_dropout_never_hides_everything_and_never_shows_what_is_absent(
    seed: int, dropout: float, names: set[str]
) -> None:
    read = Collator(dict.fromkeys(ROW, Length()), {})
    row = {name: ROW[name] for name in names}
    shown = read.decode(row, np.random.default_rng(seed), dropout).shown
    assert shown
    assert shown <= names


@pytest.mark.parametrize("dropout", [0.3, 0.9])
def test_modality_dropout_hides_at_its_rate(collator: Build, dropout: float) -> None:
    rng, rows = np.random.default_rng(0), 4000
    shown = [collator().decode(ROW, rng, dropout).shown for _ in range(rows)]
    # each is hidden with probability p, but when all three are, one of them comes back
    rate = dropout - dropout**3 / 3
    for name in ROW:
        hidden = sum(name not in kept for kept in shown)
        assert abs(hidden - rate * rows) < 5 * (rate * (1 - rate) * rows) ** 0.5


def test_modality_dropout_changes_only_what_is_shown(collator: Build) -> None:
    read, hidden = collator(label=LABEL), 0
    row = ROW | {"label": 4}
    for seed in range(20):
        plain = read.decode(row, np.random.default_rng(seed), 0.0)
        dropped = read.decode(row, np.random.default_rng(seed), 0.7)
        assert plain.shown == frozenset(ROW)
        hidden += len(plain.shown - dropped.shown)
        for name in ROW:  # augmented alike
            assert plain.decoded[name].tolist() == dropped.decoded[name].tolist()
        assert plain.content == dropped.content
        assert plain.targets == dropped.targets
    assert hidden > 0


def test_without_a_generator_nothing_is_hidden_and_nothing_varies(collator: Build) -> None:
    sample = collator().decode(ROW, None, 0.9)
    assert sample.shown == frozenset(ROW)
    assert {name: value.tolist() for name, value in sample.decoded.items()} == ROW
