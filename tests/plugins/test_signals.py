"""What the encoders that come along say of raw samples: black is 0, white is 1, a full swing is 1."""

import numpy as np
import pytest
import torch

from fusion import Registry
from fusion.testing.samples import tiny_encoder
from fusion.threat.surface import attackable, spread

REGISTRY = Registry()
ENCODERS = REGISTRY.names("encoder")
READS_PIXELS = ["hf-image", "openclip-image", "scratch-image", "timm-image"]


def processor(name):
    return tiny_encoder(REGISTRY.find("encoder", name), REGISTRY).processor


def raw(name, *samples):
    """Return the samples as the signal says that they were."""
    reader = processor(name)
    inputs = reader.collate([reader.decode(sample) for sample in samples])
    [(key, signal)] = reader.signals(inputs).items()
    given = inputs[key]
    return given * spread(signal.std, given) + spread(signal.mean, given), signal


def test_images_and_waveforms_can_be_attacked_and_nothing_else():
    able = attackable({name: processor(name) for name in ENCODERS})
    assert sorted(able) == sorted([*READS_PIXELS, "scratch-audio"])


@pytest.mark.parametrize("name", READS_PIXELS)
def test_pixels_are_those_of_the_picture(name):
    shades = [np.full((64, 64, 3), shade, np.uint8) for shade in (0, 255)]
    colours = np.broadcast_to(np.array([51, 102, 204], np.uint8), (64, 64, 3)).copy()
    found, signal = raw(name, *shades, colours)
    assert (signal.low, signal.high) == (0, 1)
    expected = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.2, 0.4, 0.8]])[:, :, None, None]
    torch.testing.assert_close(found, expected.expand_as(found), atol=1e-5, rtol=0)


def test_a_wave_is_what_was_recorded_and_its_padding_is_not_real():
    wave = np.array([1.0, -1.0, 0.5, 0.25] * 1000, np.float32)
    found, signal = raw("scratch-audio", (wave, 8000), (wave[:2000], 8000))
    assert (signal.low, signal.high) == (-1, 1)
    torch.testing.assert_close(found[0, :4000], torch.from_numpy(wave))
    assert signal.real.sum(dim=1).tolist() == [4000, 2000]
    assert signal.real[1, :2000].all()
