"""Trainings that a prior holds: what moves, on two processes, after a stop, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fusion import (
    Component,
    PluginError,
    Prior,
    Recipe,
    RecipeError,
    Registry,
    Run,
    RunError,
    hookimpl,
    train,
)
from fusion.priors.information import FISHER
from tests.training.toys import STILL, close, interrupted, lines, recipe, same, stop, weights, write


@pytest.fixture(scope="module")
def earlier(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with made-up Fisher information: none for images, much for texts, some for the rest."""
    run = train(
        recipe(STILL | {"train.steps": 4}), tmp_path_factory.mktemp("earlier") / "run", registry=registry
    )
    much = {"encoders.image": 0.0, "encoders.text": 1e9}
    fisher = {
        name: torch.full_like(value, much.get(name.rpartition(".layer")[0], 0.1))
        for name, value in load_file(run.model_file).items()
    }
    save_file(fisher, run.folder / FISHER, {"sha256": run.manifest["files"]["model.safetensors"]})
    return run


@pytest.fixture
def held(earlier: Run) -> Callable[..., Recipe]:
    """Build a recipe that starts from the earlier run, with a new head and a prior."""

    def make(prior: dict[str, Any] | None, **changes: Any) -> Recipe:
        common = {"init": str(earlier.folder), "objectives.kind.classes": 4, "prior": prior}
        return recipe(STILL | common | {"train.steps": 6} | changes)

    return make


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, float]:
    """Return how far each parameter is from where it was; those of another shape are left out."""
    return {
        name: (value - before[name]).norm().item()
        for name, value in after.items()
        if name in before and value.shape == before[name].shape
    }


def test_an_endless_strength_leaves_what_is_known_where_it_was(
    earlier: Run, held: Any, registry: Registry, tmp_path: Path
) -> None:
    run = train(held({"name": "l2sp", "strength": 1e12}), tmp_path / "run", registry=registry)
    far = moved(weights(earlier), weights(run))
    assert len(far) > 20
    assert set(far.values()) == {0.0}
    heads = {name for name in weights(run) if name.startswith("objectives.kind.head.1.")}
    assert heads.isdisjoint(far)
    assert all(bool(weights(run)[name].any()) for name in heads)


def test_the_stronger_the_pull_the_nearer_it_stays(
    earlier: Run, held: Any, registry: Registry, tmp_path: Path
) -> None:
    distances = []
    for number, prior in enumerate([None, *({"name": "l2sp", "strength": s} for s in (10.0, 100.0, 1000.0))]):
        run = train(held(prior), tmp_path / str(number), registry=registry)
        far = moved(weights(earlier), weights(run))
        distances.append(
            [sum(far[n] for n in far if n.startswith(f"encoders.{m}")) for m in ("image", "text", "audio")]
        )
    for modality in zip(*distances, strict=True):
        assert list(modality) == sorted(modality, reverse=True)
        assert modality[-1] < 0.2 * modality[0]


def test_what_is_new_goes_to_zero_by_weight_decay_and_what_is_known_does_not(
    earlier: Run, held: Any, registry: Registry, tmp_path: Path
) -> None:
    norms = []
    for decay in (0.0, 40.0):  # of 0.01 * 40 in the first step, less and less in the next five
        made = held({"name": "l2sp", "strength": 1e12}, **{"train.weight_decay": decay, "train.warmup": 0.0})
        run = train(made, tmp_path / str(decay), registry=registry)
        assert set(moved(weights(earlier), weights(run)).values()) == {0.0}
        norms.append(weights(run)["objectives.kind.head.1.weight"].norm())
    assert norms[1] < 0.5 * norms[0]


def test_l2_takes_everything_to_zero(held: Any, registry: Registry, tmp_path: Path) -> None:
    run = train(held({"name": "l2", "strength": 1e12}), tmp_path / "run", registry=registry)
    assert max(value.abs().max() for value in weights(run).values()) < 1e-9


def test_ewc_holds_what_has_information_and_says_what_has_none(
    earlier: Run, held: Any, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(held({"name": "ewc", "strength": 1e9}), tmp_path / "run", registry=registry)
    said = capsys.readouterr().err
    assert said.count("prior ewc holds") == 1
    assert "objectives.kind 2 of 4" in said
    free = train(held(None, **{"train.weight_decay": 0.0}), tmp_path / "free", registry=registry)
    far, farther = (moved(weights(earlier), weights(one)) for one in (run, free))
    assert {far[f"encoders.text.layer.{part}"] for part in ("weight", "bias")} == {0.0}
    for part in ("weight", "bias"):
        assert far[f"encoders.image.layer.{part}"] > 0.5 * farther[f"encoders.image.layer.{part}"]


@pytest.mark.parametrize("prior", [{"name": "l2sp", "strength": 5.0}, {"name": "ewc"}, {"name": "l2"}])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    prior: dict[str, Any], held: Any, registry: Registry, tmp_path: Path
) -> None:
    tune = {"encoders.text.tune": {"mode": "lora", "rank": 2}, "fuser.dropout": 0.1}
    whole = train(held(prior, **tune), tmp_path / "whole", registry=registry)
    resumed = interrupted(held(prior, **tune), tmp_path / "run", 3, registry)
    assert lines(resumed) == lines(whole)
    assert same(weights(whole), weights(resumed))


@pytest.mark.parametrize(("file", "told"), [("model.safetensors", "init and prior"), (FISHER, "prior")])
def test_it_does_not_go_on_from_other_weights(
    file: str, told: str, earlier: Run, registry: Registry, tmp_path: Path
) -> None:
    for name in ("model.safetensors", FISHER):
        shutil.copy(earlier.folder / name, tmp_path / name)
    prior = {"name": "ewc", "fisher": str(tmp_path / FISHER)} if file == FISHER else {"name": "l2sp"}
    made = recipe({"init": str(tmp_path / "model.safetensors"), "prior": prior, "train.steps": 3})
    stop(made, tmp_path / "run", 1, registry)
    tensors = load_file(tmp_path / file)
    tensors["encoders.text.layer.bias"] *= 2.0
    save_file(tensors, tmp_path / file, {"sha256": earlier.manifest["files"]["model.safetensors"]})
    with pytest.raises(RunError, match=rf"run began with other weights than {told} give now; put them back"):
        train(made, tmp_path / "run", resume=True, registry=registry)


def test_a_prior_that_holds_nothing_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="prior: l2sp holds nothing of what learns; give `init`, or pretr"):
        train(recipe({"prior": {"name": "l2sp"}}), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["l2sp", "ewc"])
def test_two_processes_train_what_one_does(
    name: str, held: Any, registry: Registry, torchrun: Any, tmp_path: Path
) -> None:
    # a sound comes once in four rows, so one of two ranks has none
    made = held({"name": name, "strength": 5.0}, **{"train.batch": 4, "sources.seen.weight": 3})
    path = write(made, tmp_path / "toy.yaml")
    done = torchrun(2, "-m", "fusion", "train", str(path), "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"prior {name} holds") == 1
    close(train(made, tmp_path / "one", registry=registry), Run(tmp_path / "two"))


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("l2sp", r"prior: 'l2sp' has no keys; write it as \{name: l2sp\}"),
        ({"name": "l2spp"}, r"prior\.name: unknown prior 'l2spp'; did you mean 'l2sp'\?"),
        (
            {"name": "l2sp", "alpha": 1},
            r"prior\.alpha: unknown option of l2sp 'alpha'; known: name, strength",
        ),
        ({"name": "ewc", "strength": -1}, r"prior\.strength: -1 does not fit \(strength: float = 10000\.0\)"),
        ({"name": "ewc", "fisher": "none"}, r"prior: ewc: none is not there; `fusion fisher RUN` writes it"),
    ],
)
def test_what_is_wrong_is_told_before_there_is_a_run(
    prior: Any, message: str, held: Any, registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        train(held(prior), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            lambda: 3.0,
            r"prior broken of plugin 'broken' .* gave 3\.0 for .*, expected a fusion\.Pull",
        ),
        (lambda: 1 / 0, r"prior broken of plugin 'broken' .* failed for .*: ZeroDivisionError"),
    ],
)
def test_a_prior_that_answers_wrong_is_named(
    answer: Callable[[], Any], said: str, held: Any, toy: ModuleType, tmp_path: Path
) -> None:
    class Broken(Prior):
        def pull(self, name: str, start: Tensor, known: bool) -> Any:
            return answer()

    module = ModuleType("broken")
    module.fusion_priors = hookimpl(lambda: [Component("broken", Broken)], specname="fusion_priors")  # type: ignore[attr-defined]
    registry = Registry(plugins={"toy": toy, "broken": module})
    with pytest.raises(PluginError, match=said):
        train(held({"name": "broken"}), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()
