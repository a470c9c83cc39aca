"""Fuser and tasks as one graph: every fuser, every task, any subset of three modalities."""

from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from fusion import Component, Encoder, Encoding, Processor, Recipe, Registry, RunError, Task, hookimpl
from fusion.build import build_model
from fusion.export.formats import write_onnx
from fusion.export.graphs import Graph, Head, encoder_graph, head_graph
from fusion.model import Model
from fusion.picks import shrink

REGISTRY = Registry()
WIDTH = 16
ENCODERS = {name: {"name": f"scratch-{name}"} for name in ("image", "text", "audio")}
CLASSIFY = {"kind": {"name": "classify", "classes": 3}}
PRESENT = torch.tensor([*product([True, False], repeat=3)])  # all seven subsets, and nothing


def model(fuser: str, objectives: dict[str, Any], registry: Registry = REGISTRY, **encoders: Any) -> Model:
    recipe = Recipe(
        sources={"a": {"name": "digits"}, "b": {"name": "digits"}},
        encoders=encoders or ENCODERS,
        fuser={"name": fuser},
        objectives=objectives,
        width=WIDTH,
        train={"steps": 1},
    )
    torch.manual_seed(0)
    return build_model(shrink(recipe, registry), registry).eval()


def encoded(model: Model, rows: int, lengths: tuple[int, ...]) -> dict[str, dict[str, Tensor]]:
    parts = {}
    for name, length in zip(model.modalities, lengths, strict=True):
        parts[name] = {"vector": torch.nn.functional.normalize(torch.randn(rows, WIDTH), dim=1)}
        if model.fuser.reads_tokens:
            tokens, mask = torch.randn(rows, length, WIDTH), torch.rand(rows, length) < 0.7
            parts[name] |= {"tokens": tokens, "mask": mask}
    return parts


def given(graph: Graph, parts: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the inputs of a head for rows that have each subset; absent slots are zeros."""
    inputs = {}
    for (name, tensors), present in zip(parts.items(), PRESENT.T, strict=True):
        inputs[f"{name}/present"] = present
        for key, tensor in tensors.items():
            hidden = ~present.reshape(-1, *[1] * (tensor.ndim - 1))
            inputs[f"{name}/{key}"] = tensor.masked_fill(hidden, 0)
    return {name: inputs[name] for name in graph.inputs}


@torch.no_grad()
def expect_the_same(model: Model, folder: Path) -> None:
    graph = head_graph(model, encoded(model, 5, (3, 4, 6)))
    write_onnx(graph, folder / "head.onnx")
    session = onnxruntime.InferenceSession(folder / "head.onnx")
    reads = {one.name for one in session.get_inputs()}
    for lengths in ((3, 4, 6), (1, 9, 2)):  # of the tokens
        inputs = given(graph, encoded(model, 8, lengths))
        expected = Head(model, [n for n in model.modalities if f"{n}/tokens" in inputs])(*inputs.values())
        found = session.run(None, {name: part.numpy() for name, part in inputs.items() if name in reads})
        assert len(found) == len(expected) == 1 + 2 * len(model.tasks)
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            torch.testing.assert_close(torch.from_numpy(one), other, rtol=1e-4, atol=1e-5)
    spread = expected[0].std(dim=0)
    assert spread.max() > 0.01  # subsets fuse to different vectors


@pytest.mark.parametrize("fuser", REGISTRY.names("fuser"))
def test_every_fuser_gives_the_same_for_every_subset(fuser: str, tmp_path: Path) -> None:
    expect_the_same(model(fuser, CLASSIFY), tmp_path)


def test_every_task_gives_the_same(tmp_path: Path) -> None:
    objectives = {
        name: {"name": name, **REGISTRY.find("objective", name).component.tiny}
        for name in REGISTRY.names("objective")
        if isinstance(kind := REGISTRY.find("objective", name).component.resolve(), type)
        and issubclass(kind, Task)
    }
    assert {"classify", "cdan", "groupdro", "multilabel", "regress"} <= set(objectives)
    expect_the_same(model("mean", objectives), tmp_path)


class Whole(Processor):
    def decode(self, raw: Any) -> Tensor:
        return torch.as_tensor(raw)


class Moody(Encoder):
    """An encoder of a stranger, which looks at its input to decide what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.processor, self.net = 4, Whole(), nn.Linear(2, 4)

    def forward(self, x: Tensor) -> Encoding:
        y = self.net(x)
        return Encoding(y.abs() if y.sum() > 0 else -y)


def test_an_encoder_that_cannot_be_traced_is_named_with_the_reason() -> None:
    @hookimpl
    def fusion_encoders() -> list[Component]:
        return [Component("moody", Moody, "feeling")]

    plugin = ModuleType("moods")
    vars(plugin).update(fusion_encoders=fusion_encoders)
    made = model(
        "mean", CLASSIFY, Registry({"mine": plugin}), text=ENCODERS["text"], feeling={"name": "moody"}
    )
    with pytest.raises(
        RunError, match=r"encoders\.feeling \(moody of .*mine.*\) cannot be exported: .*Guard"
    ):
        encoder_graph(made, "feeling", {"x": torch.randn(3, 2)}, {"x": ("rows", "")})
