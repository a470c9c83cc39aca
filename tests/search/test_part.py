"""A part of an index is one file of vectors, read with nothing that runs and looked at before it is used."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fusion import RunError, tensors
from fusion.files import sha256
from fusion.search.part import Part, expect_unit, read, together, write

PART = Part(torch.eye(3), torch.tensor([2, 5, 9]), torch.tensor([0, -100, 1]))


def test_a_part_is_read_as_it_was_written_and_named_by_what_it_holds(tmp_path: Path) -> None:
    digest = write(tmp_path, PART._asdict())
    [path] = tmp_path.iterdir()
    assert (digest, path.name) == (sha256(path), f"{digest[:16]}.safetensors")
    assert write(tmp_path, PART._asdict()) == digest
    found = read(path, 3)
    assert all(torch.equal(one, other) for one, other in zip(found, PART, strict=True))


def test_vectors_of_several_parts_are_put_in_the_order_of_rows() -> None:
    later = Part(-torch.eye(3), torch.tensor([0, 4, 7]), torch.tensor([5, 7, 8]))
    last = Part(3 * torch.eye(3)[:1], torch.tensor([5]), torch.tensor([6]))
    taken = [(PART, torch.tensor([True, False, True])), (later, torch.tensor([False, True, False]))]
    found = together([*taken, (last, torch.tensor([True]))])
    assert (found.rows.tolist(), found.targets.tolist()) == ([2, 4, 5, 9], [0, 7, 6, 1])
    assert found.vectors.tolist() == [[1, 0, 0], [0, -1, 0], [3, 0, 0], [0, 0, 1]]


def test_a_part_that_is_whole_and_alone_is_not_copied() -> None:
    every, none = torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)
    assert together([(PART._replace(rows=PART.rows + 20), none), (PART, every)]) is PART
    assert len(together([(PART, none)]).rows) == 0


def test_two_vectors_of_one_row_are_refused() -> None:
    every = torch.ones(3, dtype=torch.bool)
    with pytest.raises(RunError, match="an index has two vectors of one row; delete it"):
        together([(PART, every), (PART, every)])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vectors": torch.eye(4)}, r"vectors \(4, 4\) for 3 rows of width 3"),
        ({"vectors": torch.eye(3).double()}, "vectors of torch.float64"),
        ({"rows": torch.tensor([2.0, 5.0, 9.0])}, "rows of torch.float32"),
        ({"rows": torch.tensor([2, 5])}, "for 2 rows"),
        ({"rows": torch.tensor([2, 9, 5])}, "rows out of their order"),
        ({"rows": torch.tensor([2, 2, 5])}, "rows out of their order"),
        ({"rows": torch.tensor([-1, 2, 5])}, "rows out of their order"),
        ({"targets": torch.tensor([0, 1])}, "for 3 rows of width 3"),
        ({"others": torch.ones(1)}, "holds others, rows, targets, vectors, and not the vectors of an index"),
    ],
)
def test_a_file_of_something_else_is_refused(change: dict[str, Tensor], told: str, tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    held = PART._asdict()
    tensors.write(path, held)
    assert read(path, 3).rows.tolist() == [2, 5, 9]
    tensors.write(path, {**held, **change})
    with pytest.raises(RunError, match=told):
        read(path, 3)


def test_a_file_without_rows_and_one_that_is_no_file_of_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    tensors.write(path, {name: part[:0] for name, part in PART._asdict().items()})
    with pytest.raises(RunError, match="has no rows"):
        read(path, 3)
    path.write_bytes(b"\x80\x04]")
    with pytest.raises(RunError, match="as safetensors"):
        read(path, 3)


def test_vectors_are_of_unit_length_or_shorter() -> None:
    assert expect_unit(torch.tensor([[0.6, 0.8], [0.0, 0.0]]), "it").shape == (2, 2)
    for wrong in (1.1, float("nan"), float("inf")):
        with pytest.raises(RunError, match="it has vectors that are not of unit length"):
            expect_unit(torch.tensor([[0.6, 0.8], [wrong, 0.0]]), "it")
