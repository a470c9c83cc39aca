"""The input of every encoder that is installed can be attributed, also in its tiny form."""

from typing import Any

import numpy as np
import pytest
import torch

from fusion import Registry
from fusion.data.collate import Collator
from fusion.explain import attribution
from fusion.explain.attribution import attribute, telling
from fusion.testing.tiny import builder, tiny
from tests.explain.toys import Told, Total, model

REGISTRY = Registry()
RANDOM = np.random.default_rng(0)
SAMPLES: dict[str, Any] = {
    "image": RANDOM.integers(0, 256, (40, 40, 3), np.uint8),
    "text": "a digit",
    "audio": (RANDOM.uniform(-1, 1, 2000).astype(np.float32), 8000),
    "features": RANDOM.standard_normal((5, 3)),
    "table": {"age": 30.0, "port": "Rome"},
    "series": RANDOM.standard_normal((20, 2)).cumsum(axis=0),
    "video": RANDOM.integers(0, 256, (5, 20, 20, 3), np.uint8),
}
BESIDE = {"table": [{"age": 50.0, "port": "Rome"}]}  # what else a training has, to fit to
JUMPING = {"hf-audio", "patch-tst"}  # wav2vec2 and PatchTST take a signal for the same at any size but none


@pytest.mark.parametrize("name", REGISTRY.names("encoder"))
def test_parts_of_its_input_add_up_to_a_difference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in JUMPING:
        monkeypatch.setattr(attribution, "STEPS", (16,))  # more would find no more
    offer = REGISTRY.find("encoder", name)
    modality = offer.component.modality
    assert modality is not None
    torch.manual_seed(0)
    encoder = builder(offer, REGISTRY)(**tiny(offer, [SAMPLES[modality], *BESIDE.get(modality, [])])).eval()
    made = model(Total((modality,), encoder.dim), {"it": Told(True)}, {modality: encoder}, encoder.dim)
    raw = SAMPLES[modality]
    sample = Collator(made.processors, {}).decode({modality: raw})
    with torch.no_grad():
        fused = encoder(**encoder.processor.collate([sample.decoded[modality]])).pooled
    found = attribute(made, sample, modality, telling(made.tasks["it"], fused))
    assert found.values.isfinite().all()
    assert found.values.any()
    assert found.error == pytest.approx(abs(float(found.values.double().sum()) - found.difference), abs=1e-5)
    assert found.whole or name in JUMPING
    pieces = encoder.processor.pieces(sample.decoded[modality])
    if modality == "text":
        assert len(pieces) <= len(found.values)
        assert "digit" in "".join(pieces).replace(" ", "")
    else:
        assert found.values.shape == found.given.shape
