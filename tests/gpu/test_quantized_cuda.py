"""Integers on a GPU: the numbers of the CPU, by whichever kernel."""

import copy

import pytest
import torch
from torch import nn

from fusion.quantization.held import hold, matrices
from fusion.quantization.product import multiply
from fusion.quantization.rounding import Bytes

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("shape", [(1, 64, 32), (40, 64, 32), (17, 7, 5), (100, 2048, 16)])
def test_products_are_exact(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    one, other = (torch.randint(-127, 128, size, dtype=torch.int8) for size in ((m, k), (k, n)))
    assert torch.equal(multiply(one.cuda(), other.cuda()).cpu().long(), one.long() @ other.long())


@torch.no_grad()
def test_layers_give_the_vectors_of_the_cpu() -> None:
    for module, x in (
        (nn.Linear(64, 32), torch.randn(3, 20, 64)),
        (nn.Conv2d(8, 16, 3, padding=1), torch.randn(3, 8, 9, 9)),
        (nn.Embedding(50, 16), torch.randint(50, (3, 7))),
        (nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval(), torch.randn(3, 6, 32)),
    ):
        for _, part, matrix in matrices(module, 1):
            hold(part, matrix, Bytes(), 1)
        expected = module(x)
        found = copy.deepcopy(module).cuda()(x.cuda()).cpu()
        torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
