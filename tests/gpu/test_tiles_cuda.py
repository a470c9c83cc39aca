"""Tiles on a CUDA device: the numbers of a CPU, and the host waits for none of them."""

import pytest
import torch
from accelerate.utils import send_to_device
from torch import Tensor

from fusion.objectives import tiles
from tests.objectives.test_tiles import MAKE, given, measured

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("whole", [0, 4096])
def test_a_loss_has_the_gradients_of_a_cpu_and_never_waits(
    name: str, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    monkeypatch.setattr(tiles, "WHOLE", {"cpu": whole, "cuda": whole})
    monkeypatch.setattr(tiles, "LEAST", 64)
    monkeypatch.setattr(tiles, "MOST", 64)
    tiles._fitting.cache_clear()
    objective, _ = MAKE[name]()
    rows = given(300)
    expected = measured(objective, rows, objective)
    objective, rows = objective.cuda(), send_to_device(rows, "cuda")
    measured(objective, rows, objective)  # the first step may set things up
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = measured(objective, rows, objective)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        tiles._fitting.cache_clear()
    for part, value in expected.items():
        torch.testing.assert_close(found[part].cpu(), value, msg=part)
