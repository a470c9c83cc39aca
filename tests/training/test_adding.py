"""Adding a modality to a finished run, without a change to those that it has."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fusion import RecipeError, Registry, Run, load, train
from tests.training.toys import recipe, write

ROWS = [{"image": [1.0, 2.0, 3.0, 4.0], "text": [0.0, -1.0, 0.5, 2.0]}, {"text": [3.0, 1.0, 0.0, 1.0]}]
LOCKED: dict[str, Any] = {
    f"encoders.{name}.tune": {"mode": "frozen", "align": False} for name in ("image", "text")
}
ALONE = {"objectives": {"align": {"name": "contrastive", "hub": "text"}}, "fuser": {"name": "mean"}}


@pytest.fixture(scope="module")
def earlier(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    changes = {
        "encoders": {name: {"name": f"toy-{name}"} for name in ("image", "text")},
        "sources": {"seen": {"name": "toy", "view": ["image", "text"]}},
        "augment": {},
        **ALONE,
    }
    return train(recipe(changes), tmp_path_factory.mktemp("earlier") / "run", registry=registry)


def changes(earlier: Run) -> dict[str, Any]:
    heard = {"heard": {"name": "toy", "view": ["text", "audio"], "rows": 17}}
    everything = {"sources": {"all": {"name": "toy", "view": ["image", "text", "audio"]}}}
    return {"init": str(earlier.folder), "sources": heard, "evaluate": everything, **ALONE, **LOCKED}


def test_the_modalities_of_the_earlier_run_keep_their_vectors_bit_for_bit(
    earlier: Run, registry: Registry, tmp_path: Path
) -> None:
    run = train(recipe(changes(earlier)), tmp_path / "run", registry=registry)
    old, new = (load(each, registry=registry).encode(ROWS) for each in (earlier, run))
    for name in ("image", "text"):
        assert torch.equal(old.vectors[name], new.vectors[name])
        assert torch.equal(old.present[name], new.present[name])
    assert run.metrics["retrieval/image->text/emergent"] is False
    assert run.metrics["retrieval/text->audio/emergent"] is False
    assert run.metrics["retrieval/image->audio/emergent"] is True


def test_without_the_lock_they_move(earlier: Run, registry: Registry, tmp_path: Path) -> None:
    free = changes(earlier) | {"encoders.text.tune": {"mode": "frozen"}}  # its projection learns
    run = train(recipe(free), tmp_path / "run", registry=registry)
    old, new = (load(each, registry=registry).encode(ROWS) for each in (earlier, run))
    assert torch.equal(old.vectors["image"], new.vectors["image"])
    assert not torch.equal(old.vectors["text"], new.vectors["text"])


def test_two_processes_keep_them_too(earlier: Run, registry: Registry, tmp_path: Path, torchrun: Any) -> None:

    path = write(recipe(changes(earlier)), tmp_path / "toy.yaml")
    done = torchrun(2, "-m", "fusion", "train", str(path), "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    old, new = (load(run, registry=registry).encode(ROWS) for run in (earlier, tmp_path / "run"))
    assert all(torch.equal(old.vectors[name], new.vectors[name]) for name in ("image", "text"))


def test_a_recipe_in_which_nothing_learns_is_an_error(registry: Registry, tmp_path: Path) -> None:
    still = {"mode": "frozen", "align": False}
    locked = {f"encoders.{name}.tune": still for name in ("image", "text", "audio")}
    made = recipe(locked | {"fuser": {"name": "mean"}, "objectives": {"near": {"name": "coral"}}})
    with pytest.raises(RecipeError, match=r"encoders: nothing of the model learns; .*tune"):
        train(made, tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


def test_an_encoder_that_gets_nothing_and_never_learns_is_an_error(
    earlier: Run, registry: Registry, tmp_path: Path
) -> None:
    locked = {"encoders.audio.tune": {"mode": "frozen"}}
    with pytest.raises(RecipeError, match=r"encoders\.audio\.tune: nothing of it learns, .* stay random"):
        train(recipe(changes(earlier) | locked), tmp_path / "run", registry=registry)
