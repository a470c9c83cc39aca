"""The encoders of fusion_scratch: what a batch, its padding and its order may change."""

import pickle

import numpy as np
import pytest
import torch
from fusion_scratch import fusion_encoders
from fusion_scratch.audio import ScratchAudio, mel_filters
from fusion_scratch.image import ScratchImage
from fusion_scratch.text import PAD, ScratchText

from fusion import DataError, Encoder

LETTERS = "a longer text", "b", "naïve 漢字", "x" * 99


def tone(hertz, seconds, rate=8000, loudness=0.5):
    return (loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate), rate)


def pictures():
    draw = np.random.default_rng(0)
    return [
        draw.integers(0, 256, shape, dtype=np.uint8) for shape in ((8, 8), (50, 20, 3), (32, 32, 4), (3, 3))
    ]


SAMPLES = {
    ScratchImage: pictures(),
    ScratchText: list(LETTERS),
    ScratchAudio: [tone(440, 0.4), tone(900, 0.05), tone(1800, 1.0), tone(300, 3.0)],
}
ENCODERS = pytest.mark.parametrize("build", SAMPLES)


def built(build, **options):
    torch.manual_seed(0)
    encoder = build(dim=32, **options)
    assert isinstance(encoder, Encoder)
    return encoder


def encode(encoder, samples):
    return encoder(**encoder.processor.collate([encoder.processor.decode(raw) for raw in samples]))


@ENCODERS
def test_an_encoding_has_a_vector_and_tokens_for_each_sample(build):
    pooled, tokens, mask = encode(built(build), SAMPLES[build])
    assert pooled.shape == (4, 32)
    assert tokens.shape[0] == 4
    assert tokens.shape[2] == 32
    assert pooled.isfinite().all()
    assert mask is None or (mask.dtype == torch.bool and mask.shape == tokens.shape[:2] and mask.any(1).all())


@ENCODERS
def test_a_batch_equals_its_rows_one_by_one(build):
    encoder = built(build)
    together = encode(encoder, SAMPLES[build])
    for row, sample in enumerate(SAMPLES[build]):
        alone = encode(encoder, [sample])
        torch.testing.assert_close(together.pooled[row], alone.pooled[0], rtol=0, atol=1e-5)
        t = alone.tokens.shape[1]
        torch.testing.assert_close(together.tokens[row, :t], alone.tokens[0], rtol=0, atol=1e-5)


@ENCODERS
def test_evaluation_gives_the_same_bits_ten_times(build):
    encoder = built(build).eval()
    first = encode(encoder, SAMPLES[build]).pooled
    for _ in range(9):
        assert torch.equal(first, encode(encoder, SAMPLES[build]).pooled)


@ENCODERS
def test_training_and_evaluation_mode_agree(build):
    encoder = built(build)
    training = encode(encoder, SAMPLES[build]).pooled
    with torch.no_grad():
        assert torch.equal(training, encode(encoder.eval(), SAMPLES[build]).pooled)


@ENCODERS
def test_a_gradient_reaches_every_parameter(build):
    encoder = built(build)
    encode(encoder, SAMPLES[build]).pooled.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in encoder.named_parameters()}
    assert len(gradients) > 5
    assert [name for name, grad in gradients.items() if grad is None or not grad.abs().sum() > 0] == []


@ENCODERS
def test_decoding_does_not_change_what_it_is_given(build):
    kept = pickle.dumps(SAMPLES[build])
    encode(built(build), SAMPLES[build])
    assert pickle.dumps(SAMPLES[build]) == kept


@ENCODERS
def test_a_pickled_processor_gives_the_same(build):
    encoder = built(build)
    before = encode(encoder, SAMPLES[build]).pooled
    encoder.processor = pickle.loads(pickle.dumps(encoder.processor))
    assert torch.equal(before, encode(encoder, SAMPLES[build]).pooled)


@ENCODERS
def test_bfloat16_autocast_stays_close(build):
    encoder = built(build)
    exact = encode(encoder, SAMPLES[build]).pooled
    with torch.autocast("cpu", torch.bfloat16):
        rough = encode(encoder, SAMPLES[build]).pooled.float()
    assert torch.nn.functional.cosine_similarity(exact, rough).min() > 0.99


@pytest.mark.parametrize("component", fusion_encoders(), ids=lambda component: component.name)
def test_a_component_builds_tiny_with_options_it_knows(component):
    assert set(component.tiny) <= set(component.options())
    encoder = component.resolve()(**component.tiny)
    assert 0 < sum(parameter.numel() for parameter in encoder.parameters()) < 20_000


# image


@pytest.mark.parametrize(("size", "dim"), [(0, 32), (12, 32), (32, 30)])
def test_an_image_size_or_dim_that_does_not_fit_is_named(size, dim):
    with pytest.raises(ValueError, match=rf"size \({size}\) must be divisible by 8, and dim \({dim}\) by 4"):
        ScratchImage(size=size, dim=dim)


def test_an_image_of_any_shape_is_squeezed_into_a_square():
    wide = np.repeat(np.repeat(np.array([[0, 100], [200, 50]], np.uint8), 40, axis=0), 90, axis=1)
    small = ScratchImage(size=16).processor.decode(wide)
    assert small.shape == (16, 16, 3)
    assert small[[4, 4, 12, 12], [4, 12, 4, 12]].tolist() == [[100 * n] * 3 for n in (0, 1, 2, 0.5)]


def test_an_image_token_is_a_cell_of_8_by_8_pixels():
    for size, cells in ((32, 16), (64, 64), (8, 1)):
        assert encode(built(ScratchImage, size=size), pictures()).tokens.shape[1] == cells


# text


def test_text_is_cut_at_max_length_and_padded_to_the_longest_of_the_batch():
    processor = built(ScratchText, max_length=5).processor
    ids = processor.collate([processor.decode(text) for text in ("abcdefgh", "ü")])["ids"]
    assert ids.tolist() == [[97, 98, 99, 100, 101], [0xC3, 0xBC, PAD, PAD, PAD]]


def test_what_stands_in_padding_does_not_reach_a_text():
    encoder = built(ScratchText)
    before = encode(encoder, ["short", "a longer text"]).pooled
    with torch.no_grad():
        encoder.bytes.weight[PAD] = 1e4
    torch.testing.assert_close(encode(encoder, ["short", "a longer text"]).pooled, before, rtol=0, atol=0)


def test_the_order_of_letters_matters():
    first, second = encode(built(ScratchText), ["ab", "ba"]).pooled
    assert (first - second).abs().max() > 1e-3


def test_heads_that_do_not_divide_dim_are_named():
    with pytest.raises(ValueError, match=r"dim \(10\) must be divisible by heads \(4\)"):
        ScratchText(dim=10)


def test_a_blank_text_is_refused():
    with pytest.raises(DataError, match="the text is empty"):
        ScratchText(dim=8).processor.decode("  \n")


# audio


def test_a_pure_tone_lights_up_its_mel_band():
    encoder = built(ScratchAudio, mels=40)
    top = 2595 * np.log10(1 + 4000 / 700)
    for hertz in (300, 700, 1000, 2000, 3500):
        spectrogram = encoder.log_mel(
            torch.tensor(tone(hertz, 1.0)[0], dtype=torch.float32)[None], torch.tensor([8000])
        )
        assert spectrogram.shape == (1, 40, 101)
        band = spectrogram[0, :, 10:-10].mean(1).argmax().item()
        place = (
            2595 * np.log10(1 + hertz / 700) / top * 41 - 1
        )  # band i has its centre at (i + 1) / 41 of the top
        assert abs(band - place) <= 1


def test_neighbouring_mel_filters_add_up_to_one():
    filters = mel_filters(8000, 4096, 20)
    frequencies = np.fft.rfftfreq(4096, 1 / 8000)
    centres = 700 * (10 ** (np.arange(22) / 21 * np.log10(1 + 4000 / 700)) - 1)
    inner = (frequencies >= centres[1]) & (frequencies <= centres[-2])
    torch.testing.assert_close(filters.sum(0)[inner], torch.ones(int(inner.sum())))
    assert filters.min() == 0
    assert filters.argmax(1).tolist() == [int(np.abs(frequencies - c).argmin()) for c in centres[1:-1]]


def test_log_mel_is_one_where_loudest_and_minus_one_in_silence():
    encoder = built(ScratchAudio)
    x = torch.zeros(1, 8000)
    x[0, :2000] = torch.tensor(tone(1000, 0.25)[0])
    spectrogram = encoder.log_mel(x, torch.tensor([8000]))
    assert spectrogram.max() == 1
    assert spectrogram[0, :, 30:].eq(-1).all()


@pytest.mark.parametrize(("rate", "tolerance"), [(44100, 0.03), (16000, 0.03), (11025, 0.03)])
def test_the_same_tone_at_another_rate_encodes_nearly_alike(rate, tolerance):
    near = tone(700, 0.5)[0] + tone(1500, 0.5)[0], 8000
    far = tone(700, 0.5, rate)[0] + tone(1500, 0.5, rate)[0], rate
    other = tone(2500, 0.5)
    one, same, different = encode(built(ScratchAudio), [near, far, other]).pooled
    assert (one - same).norm() < tolerance * one.norm()
    assert (one - different).norm() > 10 * tolerance * one.norm()


def test_loudness_makes_no_difference():
    quiet, loud = encode(built(ScratchAudio), [tone(700, 0.5, loudness=0.01), tone(700, 0.5)]).pooled
    torch.testing.assert_close(quiet, loud, rtol=0, atol=1e-3)


def test_what_stands_behind_the_end_of_a_clip_does_not_reach_it():
    encoder = built(ScratchAudio)
    inputs = encoder.processor.collate([encoder.processor.decode(tone(700, 0.3))])
    clean = encoder(**inputs)
    inputs["x"][:, 2400:] = float("nan")
    dirty = encoder(**inputs)
    assert all(torch.equal(before, after) for before, after in zip(clean, dirty, strict=True))


def test_a_sound_token_is_real_where_it_starts_before_the_end():
    clips = [tone(700, seconds) for seconds in (0.04, 0.041, 1.0, 5.0)]
    mask = encode(built(ScratchAudio), clips).mask
    assert mask.sum(1).tolist() == [1, 2, 25, 25]  # a token is 40 ms; 26 cover a second and its end
    assert mask.shape == (4, 26)


def test_tokens_of_a_sound_that_are_not_real_do_not_reach_its_vector():
    encoder = built(ScratchAudio)
    pooled, tokens, mask = encode(encoder, SAMPLES[ScratchAudio])
    real = [row[kept] for row, kept in zip(tokens, mask, strict=True)]
    expected = torch.stack([row.mean(0) + row.max(0).values for row in real])
    torch.testing.assert_close(pooled, expected)


@pytest.mark.parametrize("samples", [1, 2, 100, 8000, 100_000])
def test_clips_of_any_length_encode_to_finite_vectors(samples):
    wave = np.random.default_rng(0).normal(0, 0.1, samples)
    assert encode(built(ScratchAudio), [(wave, 8000)]).pooled.isfinite().all()


def test_digital_silence_encodes_to_a_finite_vector_with_finite_gradients():
    encoder = built(ScratchAudio)
    pooled = encode(encoder, [(np.zeros(4000), 8000)]).pooled
    pooled.sum().backward()
    assert pooled.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_an_empty_sound_is_refused():
    with pytest.raises(DataError, match="the sound holds no samples"):
        ScratchAudio(dim=8).processor.decode((np.zeros(0), 8000))


def test_seconds_shorter_than_a_window_and_mels_without_a_frequency_are_named():
    with pytest.raises(ValueError, match=r"seconds is 0\.01; at least 0\.032, one window"):
        ScratchAudio(seconds=0.01)
    with pytest.raises(
        ValueError, match="mels is 200; too many for a rate of 8000 Hz: some would hear nothing"
    ):
        ScratchAudio(mels=200)


def test_the_weights_hold_no_spectrogram_constants():
    assert not {"window", "bank"} & set(ScratchAudio(dim=8).state_dict())


def test_a_text_counts_as_many_tokens_as_bytes_are_read():
    processor = ScratchText(max_length=5).processor
    assert [processor.count_tokens(processor.decode(text)) for text in ("b", "漢", "longer")] == [1, 3, 5]


def test_a_piece_of_a_text_is_the_character_that_begins_at_a_byte():
    processor = ScratchText(max_length=6).processor
    assert processor.pieces(processor.decode("a漢é!")) == ["a", "漢", "", "", "é", ""]


def test_a_sound_is_attributed_at_its_spectrogram():
    encoder, seen = built(ScratchAudio), []
    encoder.attributed().register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    encode(encoder, [tone(440, 0.4)])
    assert seen[0].shape == (1, 40, 101)
    assert seen[0].max() == 1  # where the clip is loudest
