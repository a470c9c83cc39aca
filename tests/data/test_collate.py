"""Rows become a batch: what is present, what is missing, what is equal."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from fusion import DataError, Processor, Target
from fusion.data.collate import UNREADABLE, Collator
from fusion.data.order import Slots
from tests.data.toys import collator

LABEL = Target(torch.long, below=10)
AGE = Target(torch.float32)
BOX = Target(torch.float32, (4,))


class Length(Processor):
    """Reads anything that has a length."""

    def decode(self, raw: Any) -> Any:
        return len(raw)


def unnumbered(count: int) -> Slots:
    return Slots.unnumbered(count)


def test_presence_follows_the_keys_of_the_rows() -> None:
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


def test_a_modality_that_no_row_has_has_no_inputs() -> None:
    batch = collator().stack([collator().decode({"text": [1, 2]})], unnumbered(1))
    assert list(batch.inputs) == ["text"]
    assert list(batch.present) == ["image", "text", "audio"]


def test_keys_that_no_encoder_reads_are_left_alone() -> None:
    sample = collator().decode({"image": [1, 2], "depth": object(), "title": "x"})
    assert list(sample.decoded) == ["image"]


def test_a_batch_knows_where_its_rows_are_from() -> None:
    slots = Slots(np.array([2, 0]), np.array([7, 10**12]), np.array([0, 3]))
    batch = collator().stack([UNREADABLE, UNREADABLE], slots)
    assert batch.source.tolist() == [2, 0]
    assert batch.row.tolist() == [7, 10**12]


def test_a_missing_target_is_marked_and_not_guessed() -> None:
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


def test_targets_of_all_rows_are_missing_in_a_batch_of_unreadable_rows() -> None:
    batch = collator(label=LABEL, age=AGE).stack([UNREADABLE] * 2, unnumbered(2))
    assert batch.targets["label"].tolist() == [-100, -100]
    assert batch.targets["age"].isnan().all()
    assert not any(part.any() for part in batch.present.values())
    assert [part.tolist() for part in batch.content.values()] == [[0, 0]] * 3


@pytest.mark.parametrize("label", [7, True, np.int64(7), np.uint8(7), np.uint64(7), torch.tensor(7)])
def test_a_whole_number_of_any_type_is_a_label(label: Any) -> None:
    assert collator(label=LABEL).decode({"label": label}).targets["label"].item() == int(label)


@pytest.mark.parametrize("age", [2, 2.0, np.float16(2), np.float64(2), torch.tensor(2.0), False])
def test_a_number_of_any_type_is_a_float_target(age: Any) -> None:
    target = collator(age=AGE).decode({"age": age}).targets["age"]
    assert target.dtype == torch.float32
    assert target.item() == float(age)


def test_a_target_that_cannot_be_written_to_is_read() -> None:
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
def test_a_target_that_does_not_fit_is_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}$"):
        collator(label=LABEL, age=AGE, box=BOX).decode(row)


def test_a_sample_that_cannot_be_read_names_its_modality() -> None:
    with pytest.raises(DataError, match=r"^audio: no such file$"):
        collator().decode({"image": [1, 2], "audio": "no such file"})


def test_equal_content_is_marked_in_the_batch_and_absent_content_is_zero() -> None:
    read = Collator({"image": Length(), "text": Length(), "audio": Length()}, {})
    rows: list[dict[str, Any]] = [{"text": "cat"}, {"text": "dog", "image": "1.png"}, {"text": "cat"}]
    content = read.stack([read.decode(row) for row in rows], unnumbered(3)).content
    cat, dog, again = content["text"].tolist()
    assert cat == again != dog
    assert 0 not in (cat, dog)
    assert content["image"].tolist()[::2] == [0, 0]
    assert content["audio"].tolist() == [0, 0, 0]
