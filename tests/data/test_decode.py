"""Decoding: every form that people have samples in, and one clear sentence for those that cannot be read."""

import io
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from fusion import DataError
from fusion.data import decode

RED, BLUE = (255, 0, 0), (0, 0, 255)


def encoded(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def halves(size=(16, 16)):
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", size, RED)
    picture.paste(BLUE, (size[0] // 2, 0, *size))
    return picture


def recorded(wave, rate, kind="WAV", **options):
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=kind, **options)
    return file.getvalue()


def sine(hertz, rate, seconds=1.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def assert_close_to(picture, colours, tolerance=40):
    """Compare the colour at the left and at the right."""
    pixels = np.asarray(picture).astype(int)
    middle = pixels.shape[0] // 2
    assert np.abs(pixels[middle, [1, -2]] - np.array(colours)).max() <= tolerance


# images


@pytest.mark.parametrize("kind", decode.FORMATS)
def test_every_format_is_read_from_bytes_a_path_and_a_str(kind, tmp_path):
    data = encoded(halves(), kind)
    path = tmp_path / "picture"
    path.write_bytes(data)
    for raw in (data, path, str(path), np.str_(path), np.bytes_(data)):
        picture = decode.image(raw)
        assert (picture.mode, picture.size) == ("RGB", (16, 16))
        assert_close_to(picture, (RED, BLUE))


def test_a_format_outside_the_list_is_refused():
    data = encoded(halves(), "ICO")
    with pytest.raises(
        DataError,
        match=rf"cannot read the image \({len(data):,} bytes\): none of PNG, JPEG, WEBP, BMP, GIF, TIFF, PPM",
    ):
        decode.image(data)


def test_a_cmyk_jpeg_keeps_its_colours():
    assert_close_to(decode.image(encoded(halves().convert("CMYK"), "JPEG", quality=95)), (RED, BLUE))


def test_a_grayscale_jpeg_has_three_equal_channels():
    pixels = np.asarray(decode.image(encoded(Image.new("L", (8, 8), 77), "JPEG")))
    assert pixels.shape == (8, 8, 3)
    assert (pixels == 77).all()


@pytest.mark.parametrize("transparency", [0, bytes([0, 128, 255])])
def test_a_palette_image_with_transparency_keeps_its_colours(transparency):
    palette = halves().quantize(3)
    assert_close_to(decode.image(encoded(palette, transparency=transparency)), (RED, BLUE))


def test_transparency_is_dropped_and_not_painted_over():
    clear = np.array([[[10, 20, 30, 0]]], np.uint8)
    assert np.asarray(decode.image(clear)).tolist() == [[[10, 20, 30]]]
    assert np.asarray(decode.image(encoded(Image.fromarray(clear)))).tolist() == [[[10, 20, 30]]]


def test_sixteen_bits_become_eight_and_not_white():
    deep = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    for raw in (
        deep,
        Image.fromarray(deep),
        encoded(Image.fromarray(deep)),
        encoded(Image.fromarray(deep), "TIFF"),
    ):
        assert np.asarray(decode.image(raw, "L")).tolist() == [[0, 0, 1, 128, 255]]
    assert np.asarray(decode.image(Image.fromarray(deep.astype(np.int32)), "L")).tolist() == [
        [0, 0, 1, 128, 255]
    ]


def test_a_float_image_file_is_read_in_0_to_1():
    light = np.array([[0.0, 0.5, 1.0]], np.float32)
    assert np.asarray(decode.image(encoded(Image.fromarray(light), "TIFF"), "L")).tolist() == [[0, 128, 255]]
    with pytest.raises(DataError, match=r"image array of floats from 0 to 2; floats in \[0, 1\] are read"):
        decode.image(Image.fromarray(2 * light))


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270)],
)
def test_a_photo_taken_sideways_is_turned_upright(orientation, undo):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(halves((32, 16)).transpose(undo), "JPEG", quality=95, exif=exif)
    for raw in (data, Image.open(io.BytesIO(data))):
        picture = decode.image(raw)
        assert picture.size == (32, 16)
        assert_close_to(picture, (RED, BLUE))


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_arrays_of_every_shape_and_type_are_read(shape, kind):
    full = 1.0 if np.issubdtype(kind, np.floating) else np.iinfo(kind).max
    white = np.asarray(decode.image(np.full(shape, full, kind)[::-1]))
    assert white.shape == (4, 6, 3)
    assert (white == 255).all()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\); \(h, w\) or \(h, w, 1\|3\|4\) are read"),
        (np.zeros((8, 8, 2), np.uint8), r"shape \(8, 8, 2\)"),
        (np.zeros(8, np.uint8), r"shape \(8,\)"),
        (np.zeros((0, 8), np.uint8), r"shape \(0, 8\)"),
        (np.zeros((0, 8, 3)), r"shape \(0, 8, 3\)"),
        (np.zeros((8, 8), np.int64), r"of int64; uint8, uint16, or floats in \[0, 1\], are read"),
        (np.zeros((8, 8), bool), "of bool; uint8"),
        (np.zeros((8, 8), object), "of object; uint8"),
        (np.full((8, 8), 255.0), r"floats from 255 to 255; floats in \[0, 1\] are read"),
        (np.full((8, 8), -0.1), "floats from -0.1 to -0.1"),
        (np.array([[0.0, np.nan]]), "floats from nan to nan"),
        (np.array([[0.0, np.inf]]), "floats from 0 to inf"),
        (np.zeros((8000, 8000), np.uint8), "image of 8000 x 8000 pixels; at most 50,000,000 are read"),
        ([[0, 1], [1, 0]], "image expected as a path, bytes, an array or a PIL image, not list"),
        (torch.zeros(8, 8), "image expected as a path, bytes, an array or a PIL image, not Tensor"),
        (None, "not NoneType"),
        (b"", "the image is empty: 0 bytes"),
        (b"not an image", r"cannot read the image \(12 bytes\): none of PNG"),
    ],
)
def test_an_image_that_cannot_be_read_is_named(raw, words):
    with pytest.raises(DataError, match=words) as caught:
        decode.image(raw)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "read", [decode.image, lambda raw: decode.audio(raw, 8000, 1.0)], ids=["image", "audio"]
)
def test_what_is_no_file_is_named(read, tmp_path):
    with pytest.raises(DataError, match=r"no such file: /no/such\.file$"):
        read("/no/such.file")
    with pytest.raises(DataError, match=f"a folder: {tmp_path}$"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"no such file: /dev/zero$"):
        read(Path("/dev/zero"))
    with pytest.raises(DataError, match=r"no such file: a{200}$"):
        read("a" * 100_000)
    with pytest.raises(DataError, match=r"no such file: \x00$"):
        read("\0")
    with pytest.raises(DataError, match=r"no such file: $"):
        read("")
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match=rf"the (image|sound) is empty: {tmp_path}/empty has 0 bytes"):
        read(tmp_path / "empty")


def bomb(width, height):
    """Return a PNG of a few hundred bytes that claims this size."""

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)

    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


def test_a_decompression_bomb_is_refused_before_it_is_decoded(recwarn, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", None)  # decoding would raise TypeError
    for side in (7072, 9500, 12_000):  # above our limit; above pillow's warning; just below its error
        with pytest.raises(DataError, match=f"image of {side} x {side} pixels; at most 50,000,000 are read"):
            decode.image(bomb(side, side))
    with pytest.raises(DataError, match="image of far more than the 50,000,000 pixels that are read"):
        decode.image(bomb(100_000, 100_000))
    assert not recwarn


def test_pillows_warnings_do_not_leak_and_filters_are_as_before():
    before = list(warnings.filters)
    palette = halves().convert("P")
    palette.info["transparency"] = bytes(range(200))  # pillow: "should be converted to RGBA images"
    assert decode.image(palette).mode == "RGB"
    assert warnings.filters == before


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_a_damaged_image_is_an_image_or_a_data_error(kind):
    draw = np.random.default_rng(0)
    data = encoded(Image.fromarray(draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)), kind)
    with pytest.raises(DataError, match="cannot read the image"):
        decode.image(data[: len(data) // 2])
    outcomes = []
    for _ in range(150):
        damaged = bytearray(data[: draw.integers(1, len(data) + 1)] if draw.random() < 0.3 else data)
        for place in draw.integers(len(damaged), size=3):
            damaged[place] ^= 1 << draw.integers(8)
        try:
            outcomes.append(decode.image(bytes(damaged)).mode)
        except DataError:
            outcomes.append("refused")
    assert "refused" in outcomes
    assert set(outcomes) <= {"RGB", "refused"}  # PNG has checksums, so that nothing else comes out


# sounds


@pytest.mark.parametrize(("kind", "tolerance"), [("WAV", 1e-3), ("FLAC", 1e-3), ("OGG", 0.05), ("MP3", 0.05)])
def test_a_stereo_file_at_44100_hz_becomes_one_channel_at_8000(kind, tolerance, tmp_path):
    left = sine(440, 44100)
    data = recorded(np.stack([left, np.zeros_like(left)], axis=1), 44100, kind)
    path = tmp_path / "sound"
    path.write_bytes(data)
    expected = sine(440, 8000)[400:-400] / 2
    for raw in (data, path, str(path), np.str_(path)):
        wave = decode.audio(raw, 8000, 1.0)
        assert wave.dtype == np.float32
        assert wave.shape == (8000,)
        delays = [
            np.abs(wave[400 + d : 7600 + d] - expected).max() for d in range(-5, 6)
        ]  # mp3 shifts a little
        assert min(delays) < tolerance


@pytest.mark.parametrize(
    ("kind", "scale"),
    [(np.int16, 2**15), (np.int32, 2**31), (np.float32, 1), (np.float64, 1), (np.float16, 1)],
)
def test_waveforms_of_every_type_are_scaled_to_one(kind, scale):
    wave = (np.array([0.0, 0.5, -1.0]) * scale).astype(kind)
    assert decode.audio((wave, 8000), 8000, 1.0).tolist() == [0.0, 0.5, -1.0]


def test_channels_are_averaged_whichever_axis_they_are_on():
    stereo = np.array([[0.2, 0.4], [0.0, 1.0], [-0.5, -0.5]], np.float32)
    for wave in (stereo, stereo.T, stereo.tolist(), torch.tensor(stereo)):
        np.testing.assert_allclose(decode.audio((wave, 8000), 8000, 1.0), [0.3, 0.5, -0.5], rtol=1e-6)
    pcm = (stereo * 2**14).astype(np.int16)
    np.testing.assert_allclose(decode.audio((pcm.T, 8000), 8000, 1.0), [0.15, 0.25, -0.25], atol=1e-4)


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100, 48000, np.int64(22050), 32000.0])
def test_a_waveform_is_brought_to_the_rate(rate):
    wave = decode.audio((sine(300, rate), rate), 8000, 1.0)
    assert wave.shape == (8000,)
    np.testing.assert_allclose(wave[800:-800], sine(300, 8000)[800:-800], atol=2e-3)


def test_only_the_first_seconds_are_returned():
    long = np.concatenate([np.full(8000, 0.25), np.full(80_000, 0.5)])
    for raw in ((long, 8000), ((long * 2**15).astype(np.int16), 8000), recorded(long, 8000)):
        wave = decode.audio(raw, 8000, 1.0)
        assert wave.shape == (8000,)
        assert (wave == 0.25).all()
    assert decode.audio(recorded(long, 8000, "FLAC"), 16000, 0.5).shape == (8000,)


def test_a_waveform_is_not_changed_nor_shared_when_augmented():
    wave = np.array([0.5, -0.5], np.float32)
    wave.setflags(write=False)
    decode.audio((wave, 8000), 8000, 1.0)[:] = 0
    assert wave.tolist() == [0.5, -0.5]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ((np.zeros(0), 8000), "the sound holds no samples"),
        ((np.zeros((0, 2)), 8000), "the sound holds no samples"),
        (([], 8000), "the sound holds no samples"),
        ((np.array([0.0, np.nan]), 8000), r"NaN, infinite or too large samples; about \[-1, 1\] is expected"),
        ((np.array([[np.inf, -np.inf]] * 3), 8000), "NaN, infinite or too large samples"),
        ((np.full(9, 1e300), 8000), "NaN, infinite or too large samples"),
        ((np.zeros(9, np.uint8), 8000), "waveform of uint8; floats, int16 and int32 are read"),
        ((np.zeros(9, np.int64), 8000), "waveform of int64; floats, int16 and int32 are read"),
        (([1, 2, 3], 8000), "waveform of int64; floats"),
        (([[0.0, 0.0], [0.0]], 8000), "waveform of list is not an array"),
        ((torch.zeros(3, requires_grad=True), 8000), "waveform of Tensor is not an array"),
        ((np.array(["a"]), 8000), "waveform of <U1; floats"),
        (
            (np.float32(0), 8000),
            r"waveform of shape \(\); \(samples,\), \(samples, channels\) or its transpose",
        ),
        ((np.zeros((2, 2, 9)), 8000), r"waveform of shape \(2, 2, 9\)"),
        ((np.zeros(9), 0), "sampling rate of 0 Hz; 1 to 1,000,000 Hz are read"),
        ((np.zeros(9), -8000), "sampling rate of -8000 Hz"),
        ((np.zeros(9), 10**7), "sampling rate of 10000000 Hz"),
        ((np.zeros(9), None), "sampling rate None; a number of Hz is expected"),
        ((np.zeros(9), float("nan")), "sampling rate nan; a number of Hz is expected"),
        ((np.zeros(9), "fast"), "sampling rate 'fast'; a number of Hz is expected"),
        ((np.zeros(2), 44100), "sound of 2 samples at 44100 Hz is less than one sample at 8000 Hz"),
        (np.zeros(9), r"sound expected as a path, bytes, or a pair \(waveform, rate\), not ndarray"),
        ([np.zeros(9), 8000], r"a pair \(waveform, rate\), not list"),
        ((np.zeros(9), 8000, 1), r"a pair \(waveform, rate\), not tuple"),
        (None, "not NoneType"),
        (b"", "the sound is empty: 0 bytes"),
        (b"not a sound", r"cannot read the sound \(11 bytes\): Format not recognised\.$"),
        (recorded(np.zeros(0), 8000), "the sound holds no samples"),
        (recorded(np.array([np.nan] * 9), 8000, subtype="FLOAT"), "NaN, infinite or too large samples"),
    ],
)
def test_a_sound_that_cannot_be_read_is_named(raw, words):
    with pytest.raises(DataError, match=words) as caught:
        decode.audio(raw, 8000, 1.0)
    assert "\n" not in str(caught.value)


def test_a_silent_hour_is_refused_by_its_header():
    data = recorded(np.zeros(4000 * 3601, np.int16), 4000, "FLAC")
    assert len(data) < 200_000
    with pytest.raises(DataError, match=r"sound of 3,601 s; at most 3,600 s are read"):
        decode.audio(data, 8000, 1.0)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_all_of_a_sound_is_read_at_its_own_rate(kind, tmp_path):
    left = sine(440, 44100, 2.5)
    data = recorded(np.stack([left, np.zeros_like(left)], axis=1), 44100, kind)
    path = tmp_path / "sound"
    path.write_bytes(data)
    for raw in (data, path, str(path)):
        wave, rate = decode.sound(raw)
        assert (rate, wave.dtype, wave.shape) == (44100, np.float32, (110_250,))
        np.testing.assert_allclose(wave, left / 2, atol=1e-4)


def test_a_pair_is_read_as_a_sound_at_its_own_rate():
    stereo = np.array([[0.2, 0.4], [0.0, 1.0], [-0.5, -0.5]], np.float32)
    for wave in (stereo, stereo.T, stereo.tolist(), torch.tensor(stereo)):
        mono, rate = decode.sound((wave, 32000.0))
        assert rate == 32000
        np.testing.assert_allclose(mono, [0.3, 0.5, -0.5], rtol=1e-6)
    mono, _ = decode.sound(((stereo * 2**14).astype(np.int16), 8000))
    np.testing.assert_allclose(mono, [0.15, 0.25, -0.25], atol=1e-4)


def test_the_waveform_of_a_sound_is_its_readers_own():
    wave = np.array([0.5, -0.5], np.float32)
    wave.setflags(write=False)
    decode.sound((wave, 8000))[0][:] = 0
    assert wave.tolist() == [0.5, -0.5]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ((np.zeros(0), 8000), "the sound holds no samples"),
        ((np.array([0.0, np.nan]), 8000), "NaN, infinite or too large samples"),
        ((np.zeros(9, np.uint8), 8000), "waveform of uint8; floats, int16 and int32 are read"),
        ((np.zeros(9), 0), "sampling rate of 0 Hz"),
        ((np.zeros(3601 * 4), 4), r"sound of 3,601 s; at most 3,600 s are read"),
        (recorded(np.zeros(4000 * 3601, np.int16), 4000, "FLAC"), r"sound of 3,601 s; at most 3,600 s"),
        (recorded(np.zeros(0), 8000), "the sound holds no samples"),
        (np.zeros(9), r"sound expected as a path, bytes, or a pair \(waveform, rate\), not ndarray"),
        (b"not a sound", r"cannot read the sound \(11 bytes\)"),
        ("/no/such.wav", "no such file"),
    ],
    ids=range(10),
)
def test_a_sound_that_cannot_be_read_whole_is_named(raw, words):
    with pytest.raises(DataError, match=words):
        decode.sound(raw)


def test_a_sound_of_an_hour_is_read():
    assert decode.sound((np.zeros(3600 * 4), 4))[0].shape == (14_400,)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_damaged_sound_is_a_sound_or_a_data_error(kind):
    draw = np.random.default_rng(0)
    data = recorded(draw.normal(0, 0.1, 4000), 8000, kind)
    outcomes = []
    for _ in range(100):
        damaged = bytearray(data[: draw.integers(1, len(data) + 1)] if draw.random() < 0.5 else data)
        for place in draw.integers(len(damaged), size=3):
            damaged[place] ^= 1 << draw.integers(8)
        try:
            wave = decode.audio(bytes(damaged), 8000, 1.0)
            outcomes.append("heard")
            assert 0 < len(wave) <= 8000
            assert np.isfinite(wave).all()
        except DataError:
            outcomes.append("refused")
    assert "refused" in outcomes
    assert set(outcomes) <= {"heard", "refused"}


# text


def test_text_loses_its_surrounding_space():
    assert decode.text(" two words\n") == "two words"
    assert type(decode.text(np.str_(" ü "))) is str


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("", "the text is empty"),
        (" \n\t\u3000", "the text is empty"),
        (b"bytes", "text expected as str, not bytes"),
        (None, "text expected as str, not NoneType"),
        (["one"], "text expected as str, not list"),
        (3, "text expected as str, not int"),
        ("x" * 1_000_001, "text of 1,000,001 characters; at most 1,000,000 are read"),
        ("ab\ud800", "the text holds a character that is not Unicode at 2"),
    ],
)
def test_a_text_that_cannot_be_read_is_named(raw, words):
    with pytest.raises(DataError, match=words):
        decode.text(raw)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_a_part_of_a_sound_is_read_from_where_it_starts(kind):
    steps = np.repeat([0.1, 0.2, 0.3, 0.4], 4000)  # half a second each
    for raw in (recorded(steps, 8000, kind), (steps, 8000)):
        wave, rate = decode.sound(raw, start=0.75, seconds=0.5)
        assert (rate, wave.shape) == (8000, (4000,))
        np.testing.assert_allclose(wave[100:1900], 0.2, atol=0.03)
        np.testing.assert_allclose(wave[2100:3900], 0.3, atol=0.03)
        assert decode.sound(raw, start=1.5, seconds=9.0)[0].shape == (4000,)
        assert decode.sound(raw, start=99.0, seconds=1e-9)[0].shape == (1,)  # the last sample


def test_how_long_a_sound_is_stands_in_its_header():
    data = recorded(np.zeros(4000 * 3599, np.int16), 4000, "FLAC")
    torn = data[: len(data) // 2]  # no sample is decoded
    assert decode.duration(data) == decode.duration(torn) == 3599
    assert decode.duration((np.zeros((2, 300)), 200)) == 1.5
    with pytest.raises(DataError, match=r"sound of 3,601 s; at most 3,600 s are read"):
        decode.duration((np.zeros(3601 * 4), 4))
    with pytest.raises(DataError, match="sound expected as a path"):
        decode.duration(None)


@pytest.mark.parametrize("shape", [(1, 101, 3), (5000, 2, 3)])
def test_an_image_that_is_a_mere_line_is_refused_in_every_form(shape):
    pixels = np.zeros(shape, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    for raw in (pixels, Image.fromarray(pixels), file.getvalue()):
        with pytest.raises(
            DataError, match=f"image of {shape[1]} x {shape[0]} pixels; sides of up to 100 to 1"
        ):
            decode.image(raw)
    assert decode.image(np.zeros((1, 100), np.uint8)).size == (100, 1)
