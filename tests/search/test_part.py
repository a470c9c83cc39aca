"""A part of an index is one file of vectors, read with nothing that runs and looked at before it is used."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fusion import RunError, tensors
from fusion.files import sha256
from fusion.search.part import Part, expect_unit, read, together, write

PART = Part(torch.eye(3), torch.tensor([2, 5, 9]), torch.tensor([0, -100, 1]), {"codes": torch.ones(3)})


def test_a_part_is_read_as_it_was_written_and_named_by_what_it_holds(tmp_path: Path) -> None:
    digest = write(tmp_path, PART)
    [path] = tmp_path.iterdir()
    assert (digest, path.name) == (sha256(path), f"{digest[:16]}.safetensors")
    assert write(tmp_path, PART) == digest
    found = read(path, 3)
    assert all(torch.equal(one, other) for one, other in zip(found[:3], PART[:3], strict=True))
    assert {name: tensor.tolist() for name, tensor in found.kept.items()} == {"codes": [1, 1, 1]}


def test_some_rows_are_taken_and_two_parts_joined_in_the_order_of_rows() -> None:
    some = PART.of(torch.tensor([9, 2, 4]))
    assert (some.rows.tolist(), some.targets.tolist(), some.kept) == ([2, 9], [0, 1], {})
    other = Part(-torch.eye(3)[:1], torch.tensor([4]), torch.tensor([7]))
    both = together(some, other)
    assert (both.rows.tolist(), both.targets.tolist()) == ([2, 4, 9], [0, 7, 1])
    assert both.vectors.tolist() == [[1, 0, 0], [-1, 0, 0], [0, 0, 1]]


def test_nothing_is_copied_where_nothing_is_left_out_or_joined() -> None:
    whole, none = PART.of(torch.arange(10)), PART.of(torch.tensor([3]))
    assert (whole.rows.tolist(), whole.kept, len(none.rows)) == ([2, 5, 9], {}, 0)
    for found in (whole, together(whole, none), together(none, whole)):
        assert found.vectors.data_ptr() == PART.vectors.data_ptr()


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
    held = {name: part for name, part in PART._asdict().items() if name != "kept"}
    tensors.write(path, held)
    assert read(path, 3).rows.tolist() == [2, 5, 9]
    tensors.write(path, {**held, **change})
    with pytest.raises(RunError, match=told):
        read(path, 3)


def test_a_file_without_rows_and_one_that_is_no_file_of_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    tensors.write(path, {name: part[:0] for name, part in PART._asdict().items() if name != "kept"})
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
