"""Runs in integers: plain files with the bits of the model, and the way back to ordinary ones."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fusion import Registry, Run, RunError, compress, load
from fusion.export.export import export
from fusion.recipe.picks import Pick
from fusion.shrink import speed
from fusion.shrink.dequantize import dequantize
from fusion.shrink.rebuild import FILE

TINY = {"least": 64, "multiplied": 128}
NAMES = ("int8", "int4")
both = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def compressed(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The tiny run of image, text and sound in 8 and in 4 bits."""
    folder, few = tmp_path_factory.mktemp("compressed"), ["evaluate.sources.test.limit=8"]
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "BUDGET", 0.0)
        for name in NAMES:
            chosen = [Pick.model_validate({"name": name, **TINY})]
            made[name] = compress(tiny_run, folder / name, chosen=chosen, max_drop=1.0, overrides=few).run
    assert all(made.values())
    return cast(dict[str, Run], made)


@both
def test_a_run_on_disk_is_plain_and_has_the_bits_of_the_model(
    name: str, compressed: dict[str, Run], tiny_run: Run
) -> None:
    model = load(tiny_run, "cpu").model
    Registry().find("compression", name).component.resolve()(**TINY).apply(model)
    there = load_file(compressed[name].model_file)
    assert {str(tensor.dtype) for tensor in there.values()} == {
        "torch.float32",
        *(("torch.int8",) if name == "int8" else ("torch.uint8",)),
    }
    state = model.state_dict()
    assert there.keys() == state.keys()
    assert all(torch.equal(there[key], state[key]) for key in there)
    image, sound = np.full((16, 16, 3), 200, np.uint8), np.sin(np.arange(4000) / 5).astype(np.float32)
    rows: list[dict[str, Any]] = [{"text": "seven"}, {"image": image, "audio": (sound, 8000)}]
    one, other = load(compressed[name], "cpu").encode(rows), load(compressed[name], "cpu").encode(rows)
    assert torch.equal(one.fused, other.fused)
    predictor = load(tiny_run, "cpu")
    predictor.model = model
    assert torch.equal(one.fused, predictor.encode(rows).fused)
    assert compressed[name].model_file.stat().st_size < tiny_run.model_file.stat().st_size


@both
def test_dequantized_it_is_an_ordinary_run_that_is_off_by_half_a_step(
    name: str, compressed: dict[str, Run], tiny_run: Run, tmp_path: Path
) -> None:
    made = dequantize(compressed[name], tmp_path / "floats")
    assert not (made.folder / FILE).exists()
    assert FILE not in made.manifest["files"]
    assert made.manifest["dequantized"]["run"] == str(compressed[name].folder)
    before, after = load_file(tiny_run.model_file), load_file(made.model_file)
    assert before.keys() == after.keys()
    kept = load_file(compressed[name].model_file)
    rounded = [key for key in before if key not in kept]
    assert len(rounded) > 5
    assert all(torch.equal(before[key], after[key]) for key in before.keys() - set(rounded))
    for key in rounded:
        off = (before[key].double() - after[key]).abs().flatten(1)
        step = kept[f"{key}_scale"].double()[:, None]
        if name == "int4":
            step = (step * kept[f"{key}_factor"]).repeat_interleave(32, 1)[:, : off.shape[1]]
        assert (off <= (0.5 + 1e-4) * step).all()
    rows = [{"text": "seven"}]
    far = load(made, "cpu").encode(rows).fused - load(compressed[name], "cpu").encode(rows).fused
    assert far.norm() < 0.05
    with pytest.raises(RunError, match="has nothing to undo"):
        dequantize(made, tmp_path / "again")
    with pytest.raises(RunError, match="exists; continue it with --resume, or choose another --out"):
        dequantize(compressed[name], made.folder)


def test_the_error_of_an_export_says_what_to_export(compressed: dict[str, Run], tmp_path: Path) -> None:
    said = r"int8 was compressed by int8: `fusion dequantize .*int8 --out FLOATS`, and export that; "
    with pytest.raises(RunError, match=said):
        export(compressed["int8"], "torch", tmp_path / "graphs")
    assert list(tmp_path.iterdir()) == []
