"""A logger whose library is missing names the extra that brings it."""

import sys
from pathlib import Path

import pytest

from fusion import Registry, RunError, read_recipe, train

EXTRAS = {
    "torch.utils.tensorboard": "tensorboard",
    "wandb": "wandb",
    "trackio": "trackio",
    "mlflow": "mlflow",
}


@pytest.mark.parametrize("module", EXTRAS)
def test_a_missing_library_is_told_before_there_is_a_run(
    module: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = EXTRAS[module]
    monkeypatch.setitem(sys.modules, module, None)
    recipe = read_recipe("bind_digits", [f"train.track={name}", "train.steps=1"], registry)
    told = rf"the logger's library is missing \(.*\): pip install 'fusion-bind\[track-{name}\]'"
    with pytest.raises(RunError, match=told):
        train(recipe, tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()
