"""The audio encoder of fusion_transformers: which tokens are real, what padding may do, what is cut off."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import transformers as hf
from fusion_transformers.audio import HfAudio

from fusion import DataError
from tests.plugins.transformers_families import SOUNDS, encode, saved
from tests.plugins.transformers_folders import SPEECH, heard, read, save_clap, save_wav2vec2, sounds

LENGTHS = [6400, 805, 16000, 7001]  # samples, of SOUNDS


def tiny(**options):
    torch.manual_seed(0)
    settings = SPEECH | {"feat_extract_norm": "layer"} | options.pop("settings", {})
    return HfAudio(**{"model": "config:wav2vec2", "settings": settings} | options).eval()


def collated(encoder, samples):
    return encoder.processor.collate([encoder.processor.decode(sample) for sample in samples])


def along_time(mask, times):
    """Return how many of the places in time are real, having checked that all frequencies agree."""
    by_frequency = mask.unflatten(1, (-1, times))
    assert (by_frequency == by_frequency[:, :1]).all()
    return by_frequency[:, 0].sum(1).tolist()


# which tokens are real


def test_a_token_of_a_waveform_is_real_where_all_that_it_sees_is():
    # three convolutions: 805 samples are (805 - 10) // 5 + 1 = 160, (160 - 8) // 8 + 1 = 20, then 5 frames
    mask = encode(tiny(), SOUNDS).mask
    assert mask.shape == (4, 99)
    assert mask.sum(1).tolist() == [39, 5, 99, 43]
    assert (mask.long().diff(dim=1) <= 0).all()  # the real ones come first


def test_a_token_of_whisper_is_20_ms_and_real_where_it_begins_in_the_sound(tmp_path):
    mask = encode(HfAudio(model=saved("whisper", tmp_path)), [*SOUNDS, *sounds(1, 99_999)]).mask
    assert mask.shape == (6, 100)  # 2 s
    assert mask.sum(1).tolist() == [20, 3, 50, 22, 1, 100]


def test_a_patch_of_a_spectrogram_is_real_where_it_begins_in_the_sound(tmp_path):
    # 98 frames in patches of 8, every 6: 16 places, at two heights; 6400 samples are 38 frames, 0 to 36 begin
    mask = encode(HfAudio(model=saved("ast", tmp_path)), [*SOUNDS, *sounds(1, 99_999)]).mask
    assert mask.shape == (6, 32)
    assert along_time(mask, 16) == [7, 1, 16, 7, 1, 16]


def test_patches_of_a_spectrogram_are_in_order_of_time_at_each_height(tmp_path):
    encoder = HfAudio(model=saved("ast", tmp_path)).eval()
    early, late = sounds(16000)[0][0].copy(), sounds(16000)[0][0]
    early[9000:] = 0
    one, other = (encoder.processor.decode((wave, 16000)).features["input_values"] for wave in (early, late))
    patches = encoder.model.embeddings.patch_embeddings
    changed = (patches(one[None]) - patches(other[None])).abs().amax(2) > 1e-4
    assert along_time(changed, 16) == [8]
    assert changed[
        0, 8:16
    ].all()  # frame 54, samples 8640 to 9039, is the first to change; patch 8 has 48 to 55


def test_a_token_of_clap_is_real_where_the_repeated_sound_is(tmp_path):
    # 1 s is 128 places: 6400 samples twice are 102.4 of them, 805 nineteen times 122.4, 7001 twice 112.02
    mask = encode(HfAudio(model=saved("clap audio", tmp_path)), [*SOUNDS, *sounds(99_999)]).mask
    assert mask.shape == (5, 1024)
    assert along_time(mask, 128) == [103, 123, 128, 113, 128]


def test_tokens_of_clap_are_in_order_of_time_at_each_height(tmp_path):
    encoder = HfAudio(model=saved("clap audio", tmp_path)).eval()
    late = sounds(16000)[0][0]
    early = late.copy()
    early[8000:] *= 0.01
    one, other = encode(encoder, [(early, 16000), (late, 16000)]).tokens.unflatten(1, (8, 128))
    changed = (one - other).abs().amax((0, 2)) > 1e-5
    assert not changed[:48].any()  # the middle is blurred by interpolation and by windows of 16
    assert changed[64:].all()


def test_a_model_of_which_nothing_is_known_has_real_tokens_only(tmp_path):
    pooled, tokens, mask = encode(HfAudio(model=saved("data2vec", tmp_path)), SOUNDS)
    assert mask.sum(1).tolist() == [39, 9, 99, 43]  # 805 samples are filled up to 1600, 0.1 s
    for row in range(4):
        torch.testing.assert_close(pooled[row], tokens[row][mask[row]].mean(0), rtol=0, atol=1e-6)


# what padding may do


def test_a_waveform_counts_as_many_tokens_as_the_strides_of_the_model_make_of_it():
    encoder = tiny()
    processor, stride = encoder.processor, math.prod(encoder.model.config.conv_stride)
    sounds = [(np.zeros(samples, np.float32), 16_000) for samples in (1, 10 * stride, 20 * stride)]
    assert [processor.count_tokens(processor.decode(sound)) for sound in sounds] == [1, 10, 20]


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm"])
def test_sounds_are_padded_together_only_where_nothing_leaks(kind):
    def passes(**settings):
        inputs = collated(tiny(model=f"config:{kind}", settings=settings), [*SOUNDS, SOUNDS[1]])
        return sum(name.startswith("samples") for name in inputs)

    assert passes(feat_extract_norm="group") == 4  # for each length one
    assert passes() < 4
    if kind == "wav2vec2":
        assert passes(add_adapter=True) == 4
    if kind == "hubert":
        assert passes(conv_pos_batch_norm=True) == 4


@pytest.mark.parametrize(
    ("model", "more", "dim"),
    [
        (hf.HubertModel, {"conv_pos_batch_norm": True}, 32),
        (hf.Wav2Vec2Model, {"add_adapter": True, "output_hidden_size": 20}, 20),
    ],
)
def test_what_would_see_padding_sees_none(tmp_path, model, more, dim):
    save_wav2vec2(tmp_path, model=model, **more)
    encoder, library = HfAudio(model=str(tmp_path)), read(model, tmp_path)
    pooled = encode(encoder, SOUNDS).pooled
    assert pooled.shape == (4, encoder.dim) == (4, dim)
    for row, sound in enumerate(SOUNDS):
        expected = library(input_values=heard(tmp_path, sound)["input_values"]).last_hidden_state.mean(1)
        torch.testing.assert_close(pooled[row : row + 1], expected, rtol=0, atol=1e-5)


def test_each_sound_is_normalised_over_its_own_samples():
    loud, quiet = sounds(8000, 4000)
    inputs = collated(tiny(), [loud, (0.01 * quiet[0], 16000)])
    rows = inputs["input_values_0"]
    assert rows.shape == (2, 8000)
    for row, length in zip(rows, inputs["samples_0"], strict=True):
        assert row[:length].mean().abs() < 1e-3
        assert abs(row[:length].var().item() - 1) < 0.01
        assert not row[length:].any()


def test_what_stands_behind_the_end_of_a_waveform_does_not_reach_it():
    encoder = tiny()
    inputs = collated(encoder, sounds(8000, 7000))
    before = encoder(**inputs).pooled
    inputs["input_values_0"][1, 7000:] = 1.0
    torch.testing.assert_close(encoder(**inputs).pooled, before, rtol=0, atol=1e-6)


# what is cut off, filled up or drawn


@pytest.mark.parametrize("samples", [1, 164, 165, 166])
def test_a_sound_shorter_than_a_token_is_filled_up_with_silence(samples):
    inputs = collated(tiny(), sounds(samples))
    assert inputs["input_values_0"].shape == (1, max(165, samples))
    assert encode(tiny(), sounds(samples)).mask.tolist() == [[True]]


def test_at_most_seconds_are_read_and_no_more_than_the_model_takes(tmp_path):
    assert collated(tiny(seconds=0.5), sounds(16000))["input_values_0"].shape == (1, 8000)
    whisper = HfAudio(model=saved("whisper", tmp_path), seconds=10)
    assert whisper.processor.seconds == 2
    assert collated(whisper, sounds(99_999))["samples_0"].tolist() == [32000]


def test_sound_is_brought_to_the_rate_of_the_model():
    slow = np.sin(np.arange(8000) * 0.1).astype(np.float32)
    assert collated(tiny(), [(slow, 8000)])["samples_0"].tolist() == [16000]
    with pytest.raises(DataError, match="the sound holds no samples"):
        tiny().processor.decode((slow[:0], 8000))


@pytest.mark.parametrize("fusion", [False, True])
def test_a_long_sound_gives_clap_the_same_bits_whatever_is_drawn_elsewhere(tmp_path, fusion):
    save_clap(tmp_path, fusion)
    encoder = HfAudio(model=str(tmp_path))
    long = sounds(40_000)
    np.random.seed(3)
    first = encode(encoder, long).pooled
    np.random.seed(5)
    state = np.random.get_state()[1].tolist()
    assert torch.equal(encode(encoder, long).pooled, first)
    assert np.random.get_state()[1].tolist() == state
    start = encode(encoder, [(long[0][0][:16000], 16000)]).pooled
    assert torch.equal(start, first) is not fusion  # without fusion what does not fit is cut off


def test_a_long_sound_is_fused_as_the_library_does_it(tmp_path):
    save_clap(tmp_path, fusion=True)
    model, (sound,) = read(hf.ClapModel, tmp_path), sounds(40_000)
    np.random.seed(0)
    given = heard(tmp_path, sound)
    assert given["is_longer"].tolist() == [[True]]
    features = model.audio_model(given["input_features"].float(), is_longer=given["is_longer"]).pooler_output
    expected = model.audio_projection(features)
    pooled = encode(HfAudio(model=str(tmp_path)), [*sounds(6400), sound]).pooled
    torch.testing.assert_close(pooled[1:], expected, rtol=0, atol=1e-5)


def test_only_what_every_sound_passes_through_is_trained(tmp_path):
    save_clap(tmp_path, fusion=True)
    encoder = HfAudio(model=str(tmp_path))
    frozen = {name for name, parameter in encoder.named_parameters() if not parameter.requires_grad}
    assert frozen
    assert all("fusion_model" in name or "mel_conv2d" in name for name in frozen)


def test_batch_statistics_stay_as_they_were_trained(tmp_path):
    encoder = HfAudio(model=saved("clap audio", tmp_path)).train()
    norm = encoder.model.audio_model.audio_encoder.batch_norm
    before = norm.running_mean.clone()
    encoder(**collated(encoder, SOUNDS[:2])).pooled.sum().backward()
    assert torch.equal(norm.running_mean, before)
    assert norm.weight.grad is not None
    assert encoder.model.training


def test_layers_are_not_dropped_and_nothing_is_masked(tmp_path):
    save_wav2vec2(tmp_path, layerdrop=0.9, mask_time_prob=0.9, mask_time_length=2)
    encoder = HfAudio(model=str(tmp_path))
    assert encoder.model.config.layerdrop == 0.0
    assert not any("masked_spec_embed" in name for name in encoder.state_dict())


def test_a_class_token_is_taken_where_there_is_one(tmp_path):
    folder = saved("ast", tmp_path)
    expected = read(hf.ASTModel, tmp_path)(**heard(tmp_path, SOUNDS[0])).last_hidden_state
    encoder = HfAudio(model=folder, pooling="cls")
    torch.testing.assert_close(encode(encoder, SOUNDS[:1]).pooled, expected[:, 0], rtol=0, atol=1e-5)
    real = expected[:, 2:].unflatten(1, (2, 16))[:, :, :7]
    mean = encode(HfAudio(model=folder, pooling="mean"), SOUNDS[:1]).pooled
    torch.testing.assert_close(mean, real.mean((1, 2)), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="pooling is 'cls', but no class token of Wav2Vec2Config is known"):
        tiny(pooling="cls")


@pytest.mark.parametrize(
    ("kind", "settings", "rate"),
    [
        ("whisper", {"d_model": 18, "max_source_positions": 50}, 16000),
        (
            "audio-spectrogram-transformer",
            {"hidden_size": 16, "num_attention_heads": 2, "max_length": 50},
            16000,
        ),
        ("clap_audio_model", {"depths": [1, 1], "num_attention_heads": [2, 2]}, 48000),
    ],
)
def test_random_weights_get_a_feature_extractor_that_fits(kind, settings, rate):
    small = {"hidden_size": 32, "patch_embeds_hidden_size": 16} if kind == "clap_audio_model" else {}
    build = partial(HfAudio, model=f"config:{kind}", settings=settings | small)
    encoder = build()
    assert encoder.frontend.rate == rate
    assert encode(encoder, SOUNDS[:2]).pooled.isfinite().all()
