"""Each check of a compression finds the bug that it is there for."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion import Compression, Model, PluginError
from fusion.compression import replace
from fusion.testing import check_compression


class Half(nn.Module):
    """A linear layer whose weight is kept in fp16, and whose output is scaled."""

    def __init__(self, linear: nn.Linear, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("weight", linear.weight.detach().half())
        self.bias, self.scale = linear.bias, scale
        self.weight: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * nn.functional.linear(x, self.weight.float(), self.bias)


class Halves(Compression):
    """Keeps the weights of linear layers in fp16."""

    def __init__(self, *, scale: float = 1.0) -> None:
        self.scale = scale

    @torch.no_grad()
    def apply(self, model: Model) -> dict[str, Any]:
        names = [name for name, part in model.named_modules() if type(part) is nn.Linear]
        if not names:
            raise ValueError("nothing is left to halve")
        for name in names:
            replace(model, name, Half(linear(model, name), self.scale))
        return {"names": names}

    def restore(self, model: Model, record: Mapping[str, Any]) -> None:
        for name in record["names"]:
            replace(model, name, Half(linear(model, name), self.scale))

    def expand(self, model: Model, record: Mapping[str, Any]) -> None:
        for name in record["names"]:
            half = model.get_submodule(name)
            assert isinstance(half, Half)
            plain = nn.Linear(half.weight.shape[1], len(half.weight), bias=half.bias is not None)
            plain.weight, plain.bias = nn.Parameter(half.weight.float()), half.bias
            replace(model, name, plain)


def linear(model: Model, name: str) -> nn.Linear:
    part = model.get_submodule(name)
    assert isinstance(part, nn.Linear)
    return part


def test_a_good_compression_passes() -> None:
    said = check_compression(Halves)
    assert said[:4] == [
        "what it records is plain JSON, and the model has fewer bytes or more zeros",
        "every subset of three modalities has finite vectors of the same shape",
        "a row has the vectors alone that it has among others",
        "the same weights give the same model, to the bit",
    ]
    assert said[4] == "a fresh model, restored and with the saved weights, gives the same bits"
    assert said[5] == "a second time it refuses: nothing is left to halve"
    assert said[6].startswith("expanded, it can be trained, and its vectors differ by ")
    assert said[7] == (
        "a training of 6 steps before it can be resumed, and what comes out is restored to the bit"
    )
    assert len(said) == 8


class Nothing(Halves):
    def apply(self, model: Model) -> dict[str, Any]:
        return {"names": []}


class Told(Halves):
    def apply(self, model: Model) -> dict[str, Any]:
        return {**super().apply(model), "weight": torch.zeros(2)}


class Broken(Halves):
    @torch.no_grad()
    def apply(self, model: Model) -> dict[str, Any]:
        record = super().apply(model)
        model.align["text"].norm.weight.fill_(torch.nan)  # type: ignore[union-attr, operator]
        return record


class Drawn(Halves):
    @torch.no_grad()
    def apply(self, model: Model) -> dict[str, Any]:
        for parameter in model.fuser.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
        return super().apply(model)


class Forgetful(Halves):
    def restore(self, model: Model, record: Mapping[str, Any]) -> None:
        self.scale = 1.001
        super().restore(model, record)


class Claiming(Halves):
    """Records all that is halved, by whatever application, as something to halve."""

    @torch.no_grad()
    def apply(self, model: Model) -> dict[str, Any]:
        if any(type(part) is nn.Linear for part in model.modules()):
            super().apply(model)
        return {"names": [name for name, part in model.named_modules() if isinstance(part, Half)]}


class Misfit(Halves):
    def restore(self, model: Model, record: Mapping[str, Any]) -> None:
        for name in record["names"]:
            replace(model, name, nn.Linear(3, 3))


class Fixed(Halves):
    def expand(self, model: Model, record: Mapping[str, Any]) -> None:
        model.requires_grad_(False)


class Joining(Halves):
    """Its layers look at the other rows of a batch, as a scale of all activations would."""

    def apply(self, model: Model) -> dict[str, Any]:
        record = super().apply(model)
        self.restore(model, record)
        return record

    def restore(self, model: Model, record: Mapping[str, Any]) -> None:
        if not isinstance(model.get_submodule(record["names"][0]), Half):
            super().restore(model, record)
        replace(model, "align.text.norm", nn.Sequential(linear_norm(model), Centred()))


class Centred(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.flatten(0, -2).mean(0)


def linear_norm(model: Model) -> nn.Module:
    return model.get_submodule("align.text.norm")


class Late(Halves):
    def prepare(self, model: Model, step: int, steps: int) -> None:
        if step == 2:
            replace(model, "fuser.join.0", nn.Linear(72, 48))


class Counting(Halves):
    calls = 0

    @torch.no_grad()
    def prepare(self, model: Model, step: int, steps: int) -> None:
        self.calls += 1
        for parameter in model.fuser.parameters():
            parameter.mul_(1 + 0.01 * self.calls)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (object, "it builds a object; expected a fusion.Compression"),
        (Nothing, "nothing became smaller or zero; expected fewer bytes, or more zeros"),
        (Told, "apply returned .*; expected a dict that is the same when read back from JSON"),
        (Broken, "vectors are .*; expected finite ones of shape"),
        (Joining, "alone a row has vectors that differ by .*; does a scale depend on the other rows"),
        (Drawn, "applied twice to the same weights it gives two models"),
        (
            Forgetful,
            r"a fresh model, restored and with the saved weights, differs by .*; expected the same bits",
        ),
        (Claiming, r"compressed twice, a fresh model is not restored: AssertionError"),
        (Misfit, "saved weights do not fit what restore makes"),
        (Fixed, "nothing of the model learns; expected parameters that can be trained"),
        (Late, "at step 2 it makes other parameters; expected that before the optimiser is made"),
        (Counting, r"resumed at step 1 it does something else; expected \(step, steps\) and the model"),
    ],
)
def test_a_bug_is_found(build: type, message: str) -> None:
    with pytest.raises(PluginError, match=f"(?s){message}"):
        check_compression(build)


def test_what_is_far_after_it_is_expanded_is_found() -> None:
    with pytest.raises(PluginError, match=r"expanded, the vectors differ by .*; expected at most 0\.1"):
        check_compression(Halves, scale=-1.0)
