"""Every encoder that is offered becomes a graph of ONNX, for rows of all lengths, with and without tokens."""

from pathlib import Path

import onnxruntime
import pytest
import torch

from fusion import Recipe, Registry
from fusion.build import build_model
from fusion.export.formats import write_onnx
from fusion.export.graphs import Encode, encoder_graph
from fusion.export.specimens import specimens
from fusion.fitted import fitted
from fusion.picks import shrink

REGISTRY = Registry()
NAMES = REGISTRY.names("encoder")
SOURCES = {"features": "tones", "table": "flowers", "series": "hearts", "video": "squares"}


def test_they_are_offered() -> None:
    assert {"hf-text", "hf-audio", "openclip-image", "openclip-text", "timm-image", "scratch-audio"} <= {
        *NAMES
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_gives_the_same_in_onnx(name: str, tmp_path: Path) -> None:
    modality = REGISTRY.find("encoder", name).component.modality or "any"
    recipe = Recipe(
        sources={"all": {"name": SOURCES.get(modality, "digits")}},
        encoders={modality: {"name": name}},
        fuser={"name": "attend"},  # it reads tokens
        objectives={"kind": {"name": "classify", "classes": 10}},
        width=16,
        train={"steps": 1, "batch": 8},
    )
    small = fitted(shrink(recipe, REGISTRY), REGISTRY)
    torch.manual_seed(0)
    model = build_model(small, REGISTRY).eval()
    found = specimens(model, small, REGISTRY)[modality]
    graph = encoder_graph(model, modality, found.traced(), found.axes)
    assert graph.outputs == ("vector", "tokens", "mask")
    write_onnx(graph, tmp_path / "encoder.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx")
    reads = [one.name for one in session.get_inputs()]
    for inputs in (found.mixed(1), found.mixed(3), found.mixed(64), found.alike(2, 0)):
        made = session.run(None, {key: inputs[key].numpy() for key in reads})
        with torch.no_grad():
            expected = Encode(model, modality, list(inputs))(*inputs.values())
        real = expected[2].unsqueeze(-1)  # what is padding may hold anything
        torch.testing.assert_close(torch.from_numpy(made[0]), expected[0], rtol=0, atol=1e-4)
        torch.testing.assert_close(torch.from_numpy(made[1]) * real, expected[1] * real, rtol=1e-4, atol=1e-4)
        assert torch.equal(torch.from_numpy(made[2]), expected[2])
