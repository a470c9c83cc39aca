"""Vectors in few bits: values by hand, and those of numpy."""

import numpy as np
import pytest
import torch

from fusion.quantization.vectors import Ranges, decode, encode, signs


def test_bytes_by_hand() -> None:
    """Ranges of -1 to 1.55 and 0 to 255: steps of 0.01 and 1. The second vector lies beyond both."""
    ranges = Ranges(torch.tensor([-1.0, 0.0]), torch.tensor([1.55, 255.0]))
    vectors = torch.tensor([[-1.0, 255.0], [-9.0, 300.0], [0.0, 127.6]])
    codes = encode(vectors, "int8", ranges)
    assert codes.tolist() == [[-128, 127], [-128, 127], [-28, 0]]
    expected = torch.tensor([[-1.0, 255.0], [-1.0, 255.0], [0.0, 128.0]])
    torch.testing.assert_close(decode(codes, "int8", 2, ranges), expected, rtol=0, atol=1e-5)


def test_a_dimension_that_is_constant_stays_so() -> None:
    ranges = Ranges(torch.tensor([0.3]), torch.tensor([0.3]))
    assert (
        decode(encode(torch.tensor([[0.3], [0.3]]), "int8", ranges), "int8", 1, ranges).tolist()
        == [[pytest.approx(0.3)]] * 2
    )


def test_signs_by_hand() -> None:
    vectors = torch.tensor([[0.1, -0.1, 0.0, 2.0, -1.0, -1.0, -1.0, 3.0, 1.0, -1.0]])
    codes = encode(vectors, "binary")
    assert codes.tolist() == [[0b10010001, 0b10000000]]
    assert signs(codes, 10).tolist() == [[1, -1, -1, 1, -1, -1, -1, 1, 1, -1]]
    assert decode(codes, "binary", 10).dtype == torch.float32


def test_halves_are_those_of_torch() -> None:
    vectors = torch.randn(3, 4)
    assert torch.equal(encode(vectors, "float16"), vectors.half())
    assert torch.equal(decode(vectors.half(), "float16", 4), vectors.half().float())


def test_they_are_what_numpy_makes_of_them() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 44)).astype(np.float32)
    given = torch.from_numpy(vectors)
    assert np.array_equal(encode(given, "binary").numpy(), np.packbits(vectors > 0, axis=1))
    ends = np.vstack([vectors.min(0), vectors.max(0)])
    between = (vectors.astype(float) - ends[0]) / ((ends[1] - ends[0]).astype(float) / 255) - 128
    ours = encode(given, "int8", Ranges(*torch.from_numpy(ends))).numpy()
    assert np.abs(between - ours).max() <= 0.5 + 1e-4
