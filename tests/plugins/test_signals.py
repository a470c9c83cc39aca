"""What the encoders that come along say of raw samples: black is 0, white is 1, a full swing is 1."""

import numpy as np
import pytest
import torch

from fusion import Batch, Registry
from fusion.testing.samples import tiny_encoder
from fusion.testing.tiny import builder
from fusion.threat.surface import Surface, attackable, spread

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


def test_what_holds_raw_samples_can_be_attacked_and_words_tables_and_features_cannot():
    able = attackable({name: processor(name) for name in ENCODERS})
    assert sorted(able) == sorted([*READS_PIXELS, "scratch-audio", "patch-tst", "video"])


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


@pytest.mark.parametrize("name", ["scratch-image", "timm-image"])
def test_the_pixels_of_films_are_those_of_their_frames_and_frames_that_are_none_stay(name):
    inner = {"name": name, **REGISTRY.find("encoder", name).component.tiny}
    reader = builder(REGISTRY.find("encoder", "video"), REGISTRY)(frames=inner, count=3, heads=1).processor
    colours = np.array([51, 102, 204], np.uint8)
    films = [np.broadcast_to(colours, (t, 64, 64, 3)).copy() for t in (3, 2)]
    inputs = reader.collate([reader.decode(film) for film in films])
    [(key, signal)] = reader.signals(inputs).items()
    given = inputs[key]  # (2, 3, 3, h, w)
    found = given * spread(signal.std, given, signal.axis) + spread(signal.mean, given, signal.axis)
    expected = torch.tensor([0.2, 0.4, 0.8])[None, None, :, None, None].expand_as(found)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert signal.real.flatten(1).tolist() == [[True] * 3, [True, True, False]]


def test_a_series_has_no_range_and_what_is_missing_stays():
    reader = processor("patch-tst")
    samples = [np.array([[1.0, 2.0], [np.nan, 4.0], [5.0, 6.0]]), np.ones((2, 2))]
    inputs = reader.collate([reader.decode(sample) for sample in samples])
    region = Surface(_batch(inputs), {"series": reader}, {"series": 0.5}).region(
        "linf", torch.tensor([True, True]), torch.tensor([3, 4])
    )
    [moved] = region.climb(region.zero(), {("series", "x"): torch.ones(2, 3, 2)}, 9.0).values()
    assert moved.tolist() == [[[0.5, 0.5], [0.0, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5], [0.0, 0.0]]]
    assert all(part.isfinite().all() for part in region.random().values())


def _batch(inputs):
    rows = torch.arange(2)
    present = {"series": torch.ones(2, dtype=torch.bool)}
    return Batch(
        source=rows,
        row=rows,
        inputs={"series": inputs},
        present=present,
        shown=present,
        targets={},
        content={},
    )
