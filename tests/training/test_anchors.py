"""The step towards the anchors: closed forms, what it leaves alone, and which parameters a prior holds."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fusion import Pull, Recipe, Registry, Run, train
from fusion.picks import complete
from fusion.training.anchors import Anchors, anchor
from fusion.training.optimizer import optimizer
from fusion.transfer.initial import initial_model
from tests.training.toys import recipe

TENSORS = {
    "image": torch.tensor([[1.0, -2.0], [0.5, 3.0]]),
    "text": torch.tensor([4.0]),
    "audio": torch.tensor(-1.5),
}


def attached(
    pulls: dict[str, Pull], rates: dict[str, float], **options: bool
) -> tuple[dict[str, nn.Parameter], torch.optim.Optimizer]:
    """Return a parameter for each of three modalities, and their optimiser; the gradients are zero."""
    parameters = {name: nn.Parameter(value.clone()) for name, value in TENSORS.items()}
    groups = [{"params": [parameter], "lr": rates[name]} for name, parameter in parameters.items()]
    adamw = torch.optim.AdamW(groups, weight_decay=0.0, **options)
    Anchors("some", parameters, pulls).attach(adamw)
    for parameter in parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    return parameters, adamw


RATES = {"image": 0.1, "text": 0.01, "audio": 1.0}


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_without_gradient_moves_exactly_as_the_closed_form_says(fused: bool) -> None:
    precision = torch.tensor([[0.0, 1.0], [1e-6, 1e6]])
    anchors = {"image": torch.full((2, 2), 7.0), "text": torch.tensor([-4.0])}
    pulls = {
        "image": Pull(precision, anchors["image"]),
        "text": Pull(50.0, anchors["text"]),
        "audio": Pull(3.0),
    }
    parameters, adamw = attached(pulls, RATES, fused=fused)
    adamw.step()
    for name, (strength, at) in pulls.items():
        c = RATES[name] * torch.as_tensor(strength, dtype=torch.float64)
        expected = (TENSORS[name].double() + c * (0.0 if at is None else at)) / (1 + c)
        torch.testing.assert_close(parameters[name].double(), expected, rtol=1e-6, atol=0)
    assert parameters["image"][0, 0] == 1.0  # without information not a bit moves
    assert parameters["audio"].item() == -1.5 / 4


def test_numbers_of_a_strength_each_go_to_zero_without_an_anchor() -> None:
    parameters, adamw = attached({"image": Pull(torch.tensor([[0.0, 10.0], [30.0, 90.0]]))}, RATES)
    adamw.step()
    expected = torch.tensor([[1.0, -1.0], [0.125, 0.3]])
    torch.testing.assert_close(parameters["image"].data, expected)
    assert torch.equal(parameters["text"], TENSORS["text"])


def test_parameters_that_are_pulled_in_several_chunks_all_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusion.training.anchors.CHUNK", 4)
    parameters = {str(size): nn.Parameter(torch.ones(size)) for size in (3, 1, 2, 7, 4)}
    sgd = torch.optim.SGD(parameters.values(), lr=1.0)
    strengths = {"2": torch.full((2,), 3.0), "7": torch.full((7,), 3.0)}
    pulls = {name: Pull(strengths.get(name, 3.0)) for name in parameters}
    Anchors("some", parameters, pulls).attach(sgd)
    for parameter in parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    sgd.step()
    assert all(bool((parameter == 0.25).all()) for parameter in parameters.values())


def test_what_has_no_gradient_is_left_alone_as_the_optimiser_leaves_it() -> None:
    parameters, adamw = attached({name: Pull(1.0) for name in TENSORS}, RATES)
    parameters["text"].grad = None
    adamw.step()
    assert torch.equal(parameters["text"], TENSORS["text"])
    assert parameters["audio"].item() == -0.75


@pytest.mark.parametrize("strength", [2.0, torch.full((2, 2), 2.0)])
def test_the_fixed_point_of_a_quadratic_is_the_mean_of_target_and_anchor(strength: float | Tensor) -> None:
    parameter, at = nn.Parameter(torch.zeros(2, 2)), torch.tensor([[1.0, -2.0], [0.0, 5.0]])
    sgd = torch.optim.SGD([parameter], lr=0.1)
    Anchors("some", {"image": parameter}, {"image": Pull(strength, at)}).attach(sgd)
    for _ in range(200):
        sgd.zero_grad()
        (3.0 / 2 * (parameter - 4.0).square().sum()).backward()
        sgd.step()
    torch.testing.assert_close(parameter.data, (2.0 * at + 3.0 * 4.0) / 5.0)  # 2 (a - x) = 3 (x - 4)


def test_no_strength_overshoots() -> None:
    at = torch.tensor([[0.3, 0.1], [-9.0, 1e-3]])
    for strength in (100.0, torch.full((2, 2), 100.0)):
        parameters, adamw = attached({"image": Pull(strength, at)}, RATES)
        for _ in range(3):
            before = (parameters["image"].data - at).abs()
            adamw.step()
            assert bool(((parameters["image"].data - at).abs() < 0.1 * before).all())
    for strength in (1e30, torch.full((2, 2), 1e30)):
        parameters, adamw = attached({"image": Pull(strength, at)}, RATES)
        adamw.step()
        assert torch.equal(parameters["image"], at)


def test_a_step_that_a_loss_scaler_skips_pulls_nothing() -> None:
    at = {name: value + 1.0 for name, value in TENSORS.items()}
    pulls = {"image": Pull(torch.ones(2, 2), at["image"]), "text": Pull(1.0, at["text"]), "audio": Pull(1.0)}
    parameters, adamw = attached(pulls, RATES, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)

    def step(factor: float) -> None:
        adamw.zero_grad()
        scaler.scale(sum(part.sum() for part in parameters.values()) * factor).backward()
        scaler.unscale_(adamw)
        scaler.step(adamw)
        scaler.update()

    step(float("inf"))
    assert all(torch.equal(parameters[name], value) for name, value in TENSORS.items())
    step(0.0)
    expected = {"image": TENSORS["image"] + 0.1 / 1.1, "text": TENSORS["text"] + 0.01 / 1.01, "audio": -0.75}
    for name, value in expected.items():
        torch.testing.assert_close(parameters[name].data, torch.as_tensor(value))


# which parameters


@pytest.fixture(scope="module")
def earlier(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe({"train.steps": 2}), tmp_path_factory.mktemp("earlier") / "run", registry=registry)


def asked(made: Recipe, registry: Registry) -> Anchors:
    made = complete(made, registry)
    torch.manual_seed(0)
    model, start = initial_model(made, registry)
    return anchor(made, model, start, registry)


def test_what_init_gave_is_known_and_a_new_head_is_not(earlier: Run, registry: Registry) -> None:
    changes = {
        "init": str(earlier.folder),
        "objectives.kind.classes": 4,
        "prior": {"name": "l2sp"},
    }
    anchors = asked(recipe(changes), registry)
    new = anchors.learning.keys() - anchors.pulls.keys()
    assert new == {"objectives.kind.head.1.weight", "objectives.kind.head.1.bias"}
    assert len(anchors.pulls) > 20
    for name in anchors.pulls:
        assert torch.equal(anchors.pulls[name].anchor, anchors.learning[name])
        assert anchors.pulls[name].anchor is not anchors.learning[name]


def test_the_weights_of_tuned_encoders_keep_their_names_and_adapters_are_new(
    earlier: Run, registry: Registry
) -> None:
    tuned = {
        "init": str(earlier.folder),
        "encoders.image.tune": {"mode": "gradual", "start": 2, "end": 4},
        "encoders.text.tune": {"mode": "lora", "rank": 2},
        "encoders.audio.tune": {"mode": "bitfit"},
        "prior": {"name": "l2sp"},
    }
    anchors = asked(recipe(tuned), registry)
    known = {name for name in anchors.pulls if name.startswith("encoders.")}
    new = anchors.learning.keys() - anchors.pulls.keys()
    image = {"encoders.image.layer.weight", "encoders.image.layer.bias"}
    assert known == image | {"encoders.audio.layer.bias"}
    assert new == {f"encoders.text.layer.parametrizations.weight.0.{part}" for part in ("down", "up")}


def test_an_encoder_with_pretrained_weights_is_known_without_init(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "scale").write_text("3.0")
    changes = {"encoders.image": {"name": "toy-scaled", "model": str(tmp_path / "scale")}}
    pulls = asked(recipe(changes | {"prior": {"name": "l2sp"}}), registry).pulls
    assert pulls.keys() == {"encoders.image.layer.weight", "encoders.image.layer.bias"}


def test_what_is_held_has_no_weight_decay_beside(earlier: Run, registry: Registry) -> None:
    changes = {"init": str(earlier.folder), "objectives.kind.classes": 4, "prior": {"name": "l2sp"}}
    made = complete(recipe(changes), registry)
    model, start = initial_model(made, registry)
    groups = optimizer(model, made, anchor(made, model, start, registry).held).param_groups
    decayed = {part for group in groups if group["weight_decay"] for part in group["params"]}
    assert {model.names[part] for part in decayed} == {"objectives.kind.head.1.weight"}


def test_it_says_what_is_held_of_each_part(earlier: Run, registry: Registry) -> None:
    changes = {"init": str(earlier.folder), "objectives.kind.classes": 4, "prior": {"name": "l2sp"}}
    said = str(asked(recipe(changes), registry))
    assert said.startswith("l2sp holds ")
    assert " parameters that learn; tensors: align.audio 3 of 3, align.image 3 of 3, " in said
    assert "objectives.kind 2 of 4" in said
