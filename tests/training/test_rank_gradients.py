"""On two and on four ranks every gradient of every loss is that of one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parent / "gradients.py"


@pytest.mark.parametrize("ranks", [2, 4])
def test_every_gradient_of_every_objective_is_that_of_one_rank(
    ranks: int, torchrun: Any, tmp_path: Path
) -> None:
    done = torchrun(ranks, str(SCRIPT), str(tmp_path))
    assert done.returncode == 0, done.stderr
    compared = set()
    alone = load_file(tmp_path / "0")
    for rank in range(ranks):
        found = load_file(tmp_path / str(rank))
        names = {name.partition("/")[2] for name in found}
        for name in names:
            case, objective, parameter = name.split("/")
            joint = found[f"ranks/{name}"]
            value = alone.get(f"one/{name}", torch.zeros_like(joint))  # alone, what no loss reads has none
            difference = torch.linalg.vector_norm(joint - value)
            assert difference <= 1e-6 * torch.linalg.vector_norm(value) + 1e-14, name
            if value.any():
                compared.add((case, objective, parameter.partition(".")[0]))
    objectives = {objective for _, objective, _ in compared}
    assert len(objectives) == 15
    for objective in objectives:
        for case in ("tiles", "at once"):
            assert {(case, objective, part) for part in ("total", "encoders", "align")} <= compared
    learnt = {objective for _, objective, part in compared if part == "objectives"}
    assert {"contrastive", "sigmoid", "distill-contrast", "cdan", "adversarial"} <= learnt
