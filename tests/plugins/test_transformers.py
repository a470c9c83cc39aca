"""The encoders of fusion_transformers, one tiny saved model of each family: against the library itself."""

import pytest
import torch
from fusion_transformers import fusion_encoders
from fusion_transformers.image import HfImage

from fusion.testing import check_encoder
from tests.plugins.transformers_families import FAMILIES, encode, saved

FAMILY = pytest.mark.parametrize("name", FAMILIES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The saved model of each family, made when it is asked for."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = saved(name, tmp_path_factory.mktemp("model"))
        return made[name]

    return folder


@FAMILY
def test_a_sample_is_encoded_as_the_library_does_it(name, folders):
    family, folder = FAMILIES[name], folders(name)
    encoder = family.encoder(model=folder)
    assert encoder.dim == family.dim
    pooled, tokens, mask = encode(encoder, family.samples)
    for row, sample in enumerate(family.samples):
        with torch.no_grad():
            expected = family.expected(folder, sample)
        torch.testing.assert_close(pooled[row : row + 1], expected, rtol=0, atol=1e-5)
    assert tokens.shape[::2] == (len(family.samples), family.dim)
    assert mask is None or mask.any(1).all()
    assert (pooled[1:] - pooled[0]).abs().amax(1).min() > 1e-2  # the samples do not look alike to the model


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # WavLM's own, in a backward
@FAMILY
def test_a_family_keeps_the_contract(name, folders):
    family = FAMILIES[name]
    checks = 13 if family.encoder is HfImage else 12  # pixels are said to be what is in its inputs
    passed = set(check_encoder(family.encoder, family.samples, model=folders(name)))
    # which some cannot be asked without numbers
    assert len(passed - {"forward stays on the device of its inputs"}) == checks


@FAMILY
def test_a_saved_encoder_needs_neither_its_folder_nor_the_network(name, tmp_path, monkeypatch):
    family, folder = FAMILIES[name], saved(name, tmp_path)
    encoder = family.encoder(model=folder)
    before = encode(encoder, family.samples)
    assets = tmp_path / "assets"
    assets.mkdir()
    encoder.save_assets(assets)
    for path in tmp_path.iterdir():
        if path != assets:
            path.unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    other = family.encoder(assets, model=folder)
    other.load_state_dict(encoder.state_dict())
    assert other.origin == {}
    assert all(
        one is other is None or torch.equal(one, other)
        for one, other in zip(before, encode(other, family.samples), strict=True)
    )


@FAMILY
def test_nothing_draws_at_random_in_training_beside_dropout(name, folders):
    family = FAMILIES[name]
    encoder = family.encoder(model=folders(name))
    inputs = encoder.processor.collate([encoder.processor.decode(sample) for sample in family.samples])
    still = encoder.eval()(**inputs).pooled
    for part in encoder.train().modules():
        for setting in [
            name for name, value in vars(part).items() if "drop" in name and type(value) is float
        ]:
            setattr(part, setting, 0.0)
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    torch.testing.assert_close(encoder(**inputs).pooled, still, rtol=0, atol=1e-5)


@pytest.mark.parametrize("component", fusion_encoders(), ids=lambda component: component.name)
def test_a_component_builds_tiny_with_options_it_knows(component):
    assert set(component.tiny) <= set(component.options())
    # what a recipe sets for its own model, which a tiny one may not have
    assert set(component.options()) - set(component.tiny) <= {"prefix", "seconds"}
    encoder = component.resolve()(**component.tiny)
    assert 0 < sum(parameter.numel() for parameter in encoder.parameters()) < 50_000
    assert encoder.origin == {}
