"""Windows of rows: batches of similar length within a budget, and the same whoever reads them."""

from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion import Choices, DataError, Processor, Source, Target
from fusion.data.collate import Collator
from fusion.data.loader import Reader
from fusion.data.windows import Span, cut, room, windows


class Letters(Processor):
    def decode(self, raw: Any) -> NDArray[np.uint8]:
        if not raw:
            raise DataError("empty")
        return np.frombuffer(raw.encode(), np.uint8).copy()

    def collate(self, samples: Any) -> dict[str, Tensor]:
        rows = [torch.from_numpy(sample) for sample in samples]
        return {"x": torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)}

    def count_tokens(self, sample: NDArray[np.uint8]) -> int:
        return len(sample)


class Whole(Letters):
    """One that counts no tokens."""

    count_tokens = Processor.count_tokens


class Words:
    """Rows with a text of 1 to 7 letters, every third also with a sound; row 5 cannot be read."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = {"text": "abcdefg"[: 1 + index % 7], "label": index}
        if index % 3 == 0:
            row["sound"] = "xy" * index or "z"
        if index == 5:
            row["text"] = ""
        if index == 8:
            row["text"] = Choices(["first", "second one"])
        return row


def reader(processor: Processor, source: Source | None = None) -> Reader:
    collator = Collator(
        {"text": processor, "sound": processor, "sight": processor}, {"label": Target(torch.long)}
    )
    return Reader({"words": source or Words()}, collator)


def test_rows_are_cut_from_the_longest_on_by_what_they_take_padded() -> None:
    lengths = [{"text": length} for length in (3, 9, 5, 4, 1)]
    # 9 alone would pad the 5 to 18 of 12; then 5 and 4 are 10; 3 and 1 are 6
    assert cut(lengths, rows=10, tokens=12) == [[1], [2, 3], [0, 4]]
    assert cut(lengths, rows=1, tokens=12) == [[1], [2], [3], [0], [4]]
    assert cut(lengths, rows=10, tokens=1) == [[1], [2], [3], [0], [4]]
    assert cut(lengths, rows=10, tokens=45) == [[1, 2, 3, 0, 4]]


def test_each_modality_is_padded_by_itself_and_an_absent_one_costs_nothing() -> None:
    lengths = [{"text": 4}, {"text": 1, "sound": 4}, {}, {"sound": 3}]
    # 5 first; with the 4 it is two texts of 4 and one sound of 4, 12; with the 3 two and two of 4, 16
    assert cut(lengths, rows=10, tokens=12) == [[1, 0], [3, 2]]
    assert cut(lengths, rows=10, tokens=16) == [[1, 0, 3, 2]]


def test_every_row_is_read_once_with_the_first_of_its_choices() -> None:
    spans = Span(0, 0, 20).split(12)
    assert spans == [Span(0, 0, 12), Span(0, 12, 20)]
    found = list(windows(reader(Letters()), spans, rows=4, tokens=20, workers=0))
    numbers = [[row for one in some for row in one.batch.row.tolist()] for some in found]
    assert [sorted(some) for some in numbers] == [list(range(12)), list(range(12, 20))]
    assert [[row.row for one in some for row in one.bad] for some in found] == [[5], []]
    for some in found:
        for one in some:
            assert len(one.batch.row) <= 4
            texts = iter(one.batch.inputs.get("text", {"x": torch.empty(0)})["x"])
            for row, present in zip(one.batch.row.tolist(), one.batch.present["text"].tolist(), strict=True):
                assert present == (row != 5)
                if present:
                    expected = b"first" if row == 8 else b"abcdefg"[: 1 + row % 7]
                    assert bytes(next(texts).tolist()).rstrip(b"\0") == expected
            assert one.batch.targets["label"].tolist() == [
                -100 if row == 5 else row for row in one.batch.row.tolist()
            ]


def test_workers_read_what_one_process_reads() -> None:
    spans = Span(0, 0, 20).split(6)
    alone, shared = (
        list(windows(reader(Letters()), spans, rows=3, tokens=12, workers=workers)) for workers in (0, 2)
    )
    assert [len(some) for some in alone] == [len(some) for some in shared]
    for one, other in zip(chain(*alone), chain(*shared), strict=True):
        assert one.bad == other.bad
        assert one.batch.row.equal(other.batch.row)
        for name, inputs in one.batch.inputs.items():
            assert inputs["x"].equal(other.batch.inputs[name]["x"])


def test_a_window_is_a_batch_where_nothing_counts_tokens() -> None:
    assert room(reader(Whole()), Span(0, 0, 20), batch=6) == 6


def test_a_window_has_as_many_rows_as_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Span(0, 0, 20)
    assert room(reader(Letters()), whole, batch=6) == 2_048
    # 7 bytes for each of 19 texts (8 of `first` have 5), and 7 sounds of up to 36
    monkeypatch.setattr("fusion.data.windows.MEMORY", 10 * (7 * 19 + 7 * 36) // 20)
    assert 6 < room(reader(Letters()), whole, batch=6) < 20
    monkeypatch.setattr("fusion.data.windows.MEMORY", 1)
    assert room(reader(Letters()), whole, batch=6) == 6
