"""Slots become batches: the same ones with any number of workers, and bad rows are never replaced."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fusion import Batch, Target
from fusion.data.collate import BadRow
from fusion.data.loader import Reader, Steps, Sweep, load
from fusion.data.order import Order, Slots
from tests.data.toys import Table, collator, noisy

LABEL = Target(torch.long)


def parts(batch: Batch) -> dict[str, torch.Tensor]:
    """Return every tensor of a batch, and of its micro-batches, by its path."""
    flat: dict[str, torch.Tensor] = {}
    for number, part in enumerate(batch.parts):
        flat |= {f"{number}.{path}": tensor for path, tensor in parts(part).items()}
    for field, value in batch._asdict().items():
        if field == "parts":
            continue
        for name, part in value.items() if isinstance(value, dict) else [("", value)]:
            for key, tensor in part.items() if isinstance(part, dict) else [("", part)]:
                flat[f"{field}.{name}.{key}"] = tensor
    return flat


def same(first: Batch, second: Batch) -> bool:
    one, two = parts(first), parts(second)
    return one.keys() == two.keys() and all(torch.equal(one[path], two[path]) for path in one)


def slots(*rows: tuple[int, int, int]) -> Slots:
    return Slots(*(np.array(column) for column in zip(*rows, strict=True)))


@pytest.fixture
def steps() -> Callable[..., Steps]:
    def build(
        rank: int = 0, ranks: int = 1, seed: int = 0, dropout: float = 0.5, micro: int | None = None
    ) -> Steps:
        sources = {
            "seen": Table({3: {"image": "torn", "text": [1, 1]}}, length=9),
            "heard": Table({n: {"audio": [n, 0], "label": n} for n in range(7)}),
        }
        order = Order({"seen": 9, "heard": 7}, {"seen": 2, "heard": 1}, 6, seed)
        return Steps(Reader(sources, collator(label=LABEL), noisy(seed, dropout)), order, rank, ranks, micro)

    return build


def test_a_bad_row_is_listed_and_leaves_its_place_empty() -> None:
    rows = {
        0: {"image": [1, 2], "text": [3, 4], "label": 1},
        1: {"image": "cannot read", "text": [5, 6], "label": 2},
        2: {"text": [7, 8], "audio": [9, 0], "label": 3},
    }
    reader = Reader({"photos": Table(rows)}, collator(label=LABEL))
    loaded = reader(slots((0, 0, 0), (0, 1, 0), (0, 2, 0)))
    assert loaded.bad == [BadRow("photos", 1, "image: cannot read")]
    batch = loaded.batch
    assert {name: part.tolist() for name, part in batch.present.items()} == {
        "image": [True, False, False],
        "text": [True, False, True],
        "audio": [False, False, True],
    }
    assert batch.targets["label"].tolist() == [1, -100, 3]
    assert batch.inputs["image"]["x"].tolist() == [[1, 2]]
    assert batch.inputs["text"]["x"].tolist() == [[3, 4], [7, 8]]
    assert batch.row.tolist() == [0, 1, 2]


def test_a_bad_row_changes_no_bit_of_the_others() -> None:
    where, draw = slots((0, 0, 4), (0, 1, 4), (0, 2, 4)), noisy(1, 0.5)
    good = Reader({"photos": Table(length=3)}, collator(), draw)(where)
    bad = Reader({"photos": Table({1: {"image": "torn"}}, length=3)}, collator(), draw)(where)
    assert (len(good.bad), len(bad.bad)) == (0, 1)
    for name in ("image", "text", "audio"):
        assert torch.equal(bad.batch.inputs[name]["x"], good.batch.inputs[name]["x"][[0, 2]])
        assert bad.batch.shown[name].tolist()[::2] == good.batch.shown[name].tolist()[::2]
        assert bad.batch.content[name].tolist()[1] == 0


def test_a_file_that_cannot_be_opened_is_a_bad_row() -> None:
    class Gone:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> dict[str, Any]:
            raise FileNotFoundError(2, "No such file", f"{index}.parquet")

    loaded = Reader({"gone": Gone()}, collator())(slots((0, 0, 0)))
    assert loaded.bad == [BadRow("gone", 0, "[Errno 2] No such file: '0.parquet'")]


def test_a_batch_in_which_no_row_can_be_read_is_still_a_batch() -> None:
    broken = {n: {"audio": "torn"} for n in range(3)}
    loaded = Reader({"clips": Table(broken)}, collator(label=LABEL))(slots((0, 0, 0), (0, 2, 0)))
    assert [row.row for row in loaded.bad] == [0, 2]
    assert loaded.batch.inputs == {}
    assert len(loaded.batch.present["audio"]) == 2


def test_augmentation_depends_on_seed_epoch_source_and_row_alone() -> None:
    sources = {"a": Table(length=9), "b": Table(length=9)}

    def image(place: tuple[int, int, int], seed: int, among: tuple[int, int, int]) -> list[float]:
        reader = Reader(sources, collator(), noisy(seed))
        x = reader(slots(among, place)).batch.inputs["image"]["x"][1]
        return (x - torch.tensor([place[1], 0])).tolist()  # the noise that was added

    one = image((0, 3, 1), 5, among=(0, 0, 0))
    assert image((0, 3, 1), 5, among=(1, 8, 7)) == one
    others = [
        image((0, 3, 1), 6, (0, 0, 0)),
        image((0, 3, 2), 5, (0, 0, 0)),
        image((1, 3, 1), 5, (0, 0, 0)),
        image((0, 4, 1), 5, (0, 0, 0)),
        image((1, 1, 3), 5, (0, 0, 0)),
    ]
    assert all(first != second for first, second in itertools.combinations([one, *others], 2))


def test_rows_that_are_not_drawn_are_read_as_they_are() -> None:
    batch = Reader({"a": Table(length=9)}, collator())(slots((0, 3, 0), (0, 4, 1))).batch
    assert batch.inputs["audio"]["x"].tolist() == [[3, 2], [4, 2]]


@pytest.mark.parametrize(("workers", "micro"), [(1, None), (2, None), (2, 4)])
def test_workers_change_no_bit_of_any_batch(
    steps: Callable[..., Steps], workers: int, micro: int | None
) -> None:
    plain = list(load(steps(micro=micro), range(2, 9), 0))
    loaded = list(load(steps(micro=micro), range(2, 9), workers))
    assert {len(item.batch.parts) for item in plain} == ({0} if micro is None else {2})
    assert len(plain) == len(loaded) == 7
    assert sum(len(item.bad) for item in plain) > 0
    for one, two in zip(plain, loaded, strict=True):
        assert same(one.batch, two.batch)
        assert one.bad == two.bad


def test_loading_leaves_the_global_random_state_alone(steps: Callable[..., Steps]) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    list(load(steps(), range(2), 0))
    list(load(steps(), range(2), 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_training_may_start_at_any_step(steps: Callable[..., Steps]) -> None:
    whole = list(load(steps(), range(8), 0))
    for one, two in zip(whole[5:], load(steps(), range(5, 8), 0), strict=True):
        assert same(one.batch, two.batch)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_read_the_rows_that_one_rank_would(steps: Callable[..., Steps], ranks: int) -> None:
    for step in range(4):
        whole = steps()[step]
        split = [steps(rank, ranks)[step] for rank in range(ranks)]
        for name in ("source", "row"):
            joined = torch.cat([getattr(item.batch, name) for item in split])
            assert torch.equal(joined, getattr(whole.batch, name))
        for name in whole.batch.inputs:
            pieces = [item.batch.inputs[name]["x"] for item in split if name in item.batch.inputs]
            assert torch.equal(torch.cat(pieces), whole.batch.inputs[name]["x"])
            shown = torch.cat([item.batch.shown[name] for item in split])
            assert torch.equal(shown, whole.batch.shown[name])
        assert [row for item in split for row in item.bad] == whole.bad


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_sweep_reads_every_row_once(ranks: int, workers: int) -> None:
    sources = {"a": Table(length=10), "b": Table(length=1), "c": Table(length=7)}
    read = []
    for rank in range(ranks):
        sweep = Sweep(Reader(sources, collator()), 4, rank, ranks)
        for loaded in load(sweep, range(len(sweep)), workers):
            assert len(loaded.batch.row) <= 4
            read += list(zip(loaded.batch.source.tolist(), loaded.batch.row.tolist(), strict=True))
    expected = [(0, n) for n in range(10)] + [(1, 0)] + [(2, n) for n in range(7)]
    assert sorted(read) == expected
    if ranks == 1:
        assert read == expected


def test_a_sweep_reads_at_most_as_many_rows_of_each_source_as_its_limit() -> None:
    sources = {"a": Table(length=10), "b": Table(length=2)}
    sweep = Sweep(Reader(sources, collator()), 4, limit=5)
    rows = [(sweep[n].batch.source.tolist(), sweep[n].batch.row.tolist()) for n in range(len(sweep))]
    assert rows == [([0] * 4, [0, 1, 2, 3]), ([0], [4]), ([1, 1], [0, 1])]


@pytest.mark.parametrize("ranks", [1, 2])
def test_chosen_rows_keep_their_numbers(ranks: int) -> None:
    sources = {"a": Table(length=10), "b": Table(length=5), "c": Table(length=9)}
    chosen = [np.array(rows, dtype=np.int64) for rows in ([1, 4, 9], [], [0, 8])]
    read = []
    for rank in range(ranks):
        sweep = Sweep(Reader(sources, collator()), 2, rank, ranks, chosen=chosen)
        assert (sweep.sizes, sweep.rows) == ([3, 0, 2], 5)
        for n in range(len(sweep)):
            batch = sweep[n].batch
            read.append((batch.source.tolist(), batch.row.tolist()))
    assert sorted(read) == [([0], [9]), ([0, 0], [1, 4]), ([2, 2], [0, 8])]


def test_a_rank_for_which_no_batch_is_left_reads_nothing() -> None:
    sweep = Sweep(Reader({"a": Table(length=3)}, collator()), 4, rank=1, ranks=2)
    assert len(sweep) == 0
    assert list(load(sweep, range(0), 0)) == []


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("ranks", [1, 2])
def test_sources_of_different_modalities_mix_exactly_and_no_row_is_lost_or_read_twice(
    ranks: int, workers: int
) -> None:
    sizes, weights = {"a": 311, "b": 90, "c": 1000}, {"a": 5.0, "b": 1.5, "c": 3.5}
    rows: dict[str, Callable[[int], dict[str, Any]]] = {
        "a": lambda n: {"image": [n, 0], "text": [n, 1]},
        "b": lambda n: {"audio": [n, 2]} if n % 2 else {"audio": [n, 2], "text": [n, 1]},
        "c": lambda n: {"text": [n, 1]},
    }
    sources = {name: Table({n: rows[name](n) for n in range(size)}) for name, size in sizes.items()}
    order = Order(sizes, weights, 50, 3)
    read: list[tuple[int, int]] = []
    for step, batches in enumerate(
        zip(
            *(
                load(Steps(Reader(sources, collator(), noisy(3)), order, rank, ranks), range(200), workers)
                for rank in range(ranks)
            ),
            strict=True,
        )
    ):
        for loaded in batches:
            read += zip(loaded.batch.source.tolist(), loaded.batch.row.tolist(), strict=True)
        assert len(read) == 50 * (step + 1)
    assert len(read) == 10_000
    for number, (name, size) in enumerate(sizes.items()):
        mine = [row for source, row in read if source == number]
        assert abs(len(mine) - 10_000 * weights[name] / 10) <= 1
        for start in range(0, len(mine) - size + 1, size):
            assert sorted(mine[start : start + size]) == list(range(size))  # an epoch
        assert len(set(mine[-(len(mine) % size) :])) == len(mine) % size
