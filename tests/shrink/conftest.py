"""A trained toy, and compressions that are easy to follow by hand."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion import Component, Compression, Model, Registry, Run, hookimpl, train
from fusion.compression import replace
from fusion.shrink import speed
from tests.training.conftest import toy
from tests.training.toys import recipe

__all__ = ["toy"]

EVALUATE = {"sources": {"all": {"name": "toy", "view": ["image", "text", "audio"], "rows": 30}}}


class Half(nn.Module):
    """A linear layer whose weight is kept in fp16."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", linear.weight.detach().half())
        self.bias = linear.bias
        self.weight: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.float(), self.bias)


class Halves(Compression):
    """Keeps the weights of linear layers in fp16."""

    def apply(self, model: Model) -> dict[str, Any]:
        names = [name for name, part in model.named_modules() if type(part) is nn.Linear]
        self.restore(model, {"names": names})
        return {"names": names}

    def restore(self, model: Model, record: Mapping[str, Any]) -> None:
        for name in record["names"]:
            linear = model.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            replace(model, name, Half(linear))

    def expand(self, model: Model, record: Mapping[str, Any]) -> None:
        for name in record["names"]:
            half = model.get_submodule(name)
            assert isinstance(half, Half)
            linear = nn.Linear(half.weight.shape[1], len(half.weight), bias=half.bias is not None)
            linear.weight, linear.bias = nn.Parameter(half.weight.float()), half.bias
            replace(model, name, linear)


class Stuck(Halves):
    """Cannot be undone."""

    def expand(self, model: Model, record: Mapping[str, Any]) -> None: ...


class Weights(Compression):
    """Multiplies the weights of the projections to the shared space, or adds to them."""

    def __init__(self, *, times: float = 1.0, plus: float = 0.0, interrupted_at: int | None = None) -> None:
        self.times, self.plus, self.interrupted_at = times, plus, interrupted_at

    @torch.no_grad()
    def apply(self, model: Model) -> dict[str, Any]:
        if self.interrupted_at == -1:
            raise KeyboardInterrupt
        if self.times == 1 and self.plus == 0:
            raise ValueError("nothing would change")
        for name, parameter in model.named_parameters():
            if name.endswith("project.weight"):
                parameter.mul_(self.times).add_(self.plus)
        return {}

    def restore(self, model: Model, record: Mapping[str, Any]) -> None: ...

    def prepare(self, model: Model, step: int, steps: int) -> None:
        if step == self.interrupted_at and step > 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="session")
def small() -> ModuleType:
    """The plugin of a stranger."""

    @hookimpl
    def fusion_compressions() -> list[Component]:
        return [Component("halves", Halves), Component("stuck", Stuck), Component("weights", Weights)]

    module = ModuleType("small")
    vars(module)["fusion_compressions"] = fusion_compressions
    return module


@pytest.fixture(scope="session")
def registry(toy: ModuleType, small: ModuleType) -> Registry:
    return Registry(plugins={"toy": toy, "small": small})


@pytest.fixture(scope="session")
def full(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of the toy with three modalities. Do not write into it."""
    made = recipe({"evaluate": EVALUATE, "train.steps": 30})
    return train(made, tmp_path_factory.mktemp("full") / "run", registry=registry)


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed is measured in ten calls, whatever they tell."""
    monkeypatch.setattr(speed, "BUDGET", 0.0)
