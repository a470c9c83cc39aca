"""docs/scale.md holds what benchmarks/scale.py computes, and that is right in small."""

import re
import subprocess
from pathlib import Path

import open_clip
import pytest
import torch

from benchmarks import scale

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/scale.md").read_text("utf-8")


@pytest.mark.slow
def test_the_tables_of_the_page_are_those_of_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    scale.main()
    tables = capsys.readouterr().out.strip().split("\n\n")
    assert [len(table.splitlines()) for table in tables] == [2 + 6, 2 + 12]
    for table in tables:
        assert table in PAGE


def test_parameters_are_those_of_open_clip() -> None:
    found = scale.count("ViT-B-16")
    with torch.device("meta"):
        whole = open_clip.create_model("ViT-B-16", pretrained=None, device="meta")
    assert found.parameters == sum(part.numel() for part in whole.parameters()) - 1  # the scale of the loss
    assert found.layer == 12 * 768**2 + 13 * 768  # a block: weights, and biases with those of two LayerNorms
    blocks = 12 * found.layer + 12 * (12 * 512**2 + 13 * 512)
    assert (found.outside, found.width) == (found.parameters - blocks, 512)


def test_the_formulas_give_what_is_counted_by_hand() -> None:
    towers = scale.Towers(parameters=100, layer=10, outside=5, width=3)
    assert scale.ddp_state(towers) == 400 + 400 + 400 + 800
    assert scale.fsdp_state(towers, 4) == 100 + 100 + 200 + 3 * 40 + 2 * 20
    # of four processes each has a quarter, and sends three of them
    assert scale.ddp_traffic(towers, 4) == 3 * 100 + 3 * 100
    assert scale.fsdp_traffic(towers, 4) == 3 * 100 + 3 * 100 + 3 * 100
    assert scale.gathered_rows(8, 3) == 8 * 3 * 4 * 3
    assert scale.gather_traffic(8, 3, 4) == 3 * (2 * 3 * 4 * 3)
    assert scale.gradient_traffic(8, 3, 4) == 2 * (3 * 2 * 3 * 4 + 3 * 2 * 3 * 4)
    assert scale.ring_traffic(8, 3, 4) == 3 * (2 * 3 * 4) + 3 * (2 * 3 * 4)
    assert scale.fsdp_traffic(towers, 1) == scale.gather_traffic(8, 3, 1) == 0


def test_the_job_script_is_one() -> None:
    [script] = re.findall(r"```bash\n(.+?)```", PAGE, re.S)
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "-m fusion train mine.yaml --out runs/mine $resume" in script
