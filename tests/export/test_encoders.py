"""Every encoder that is offered is exported to ONNX, tokens and lengths included, and gives the same."""

from pathlib import Path

import pytest
import torch

from fusion import Predictor, Recipe, Registry
from fusion.build import build_model
from fusion.export.check import CLOSE
from fusion.export.export import write
from fusion.export.specimens import specimens
from fusion.picks import shrink

REGISTRY = Registry()
MODALITIES = ("image", "text", "audio")
OFFERED = {
    modality: [
        name
        for name in REGISTRY.names("encoder")
        if REGISTRY.find("encoder", name).component.modality == modality
    ]
    for modality in MODALITIES
}
TRIPLES = [
    {modality: names[number % len(names)] for modality, names in OFFERED.items()}
    for number in range(max(map(len, OFFERED.values())))
]


def test_all_are_there() -> None:
    tried = {name for triple in TRIPLES for name in triple.values()}
    assert tried == set(REGISTRY.names("encoder"))
    assert {"hf-text", "openclip-image", "timm-image", "scratch-audio"} <= tried


@pytest.mark.slow
@pytest.mark.parametrize("triple", TRIPLES, ids=lambda triple: "+".join(triple.values()))
def test_it_gives_the_same_in_onnx(triple: dict[str, str], tmp_path: Path) -> None:
    recipe = Recipe(
        sources={"all": {"name": "digits"}},
        encoders={modality: {"name": name} for modality, name in triple.items()},
        fuser={"name": "attend"},
        objectives={"kind": {"name": "classify", "classes": 10}},
        width=16,
        train={"steps": 1, "batch": 8},
    )
    small = shrink(recipe, REGISTRY)
    torch.manual_seed(0)
    predictor = Predictor(build_model(small, REGISTRY), small)
    found = specimens(predictor.model, small, REGISTRY)
    assert len(found["text"].samples) > 1  # of different lengths
    assert write(predictor, found, "onnx", tmp_path, {}) <= CLOSE
