"""Raw samples become media by their type alone; what a page would show is decoded and compared."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from fusion import Processor
from fusion.report.media import describe, shown


def decoded(uri: str, kind: str) -> io.BytesIO:
    prefix = f"data:{kind};base64,"
    assert uri.startswith(prefix)
    return io.BytesIO(base64.b64decode(uri.removeprefix(prefix)))


def file_of(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def test_a_text_stays_itself():
    assert describe("seven <b>") == {"kind": "text", "data": "seven <b>"}


def test_a_long_text_is_cut_to_200_characters():
    data = describe("x" * 500)["data"]
    assert data == "x" * 199 + "…"


def test_a_path_is_a_text_and_is_not_opened():
    assert describe(Path("no/such.png")) == {"kind": "text", "data": "no/such.png"}


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 3)])
def test_a_small_array_of_bytes_is_enlarged_pixel_by_pixel(shape):
    array = np.zeros(shape, np.uint8)
    array[0, 1] = 255
    described = describe(array)
    image = np.asarray(Image.open(decoded(described["data"], "image/png")).convert("RGB"))
    assert described["kind"] == "image"
    assert image.shape == (64, 64, 3)
    assert (image[:32, 32:] == 255).all()
    assert image.sum() == 32 * 32 * 3 * 255


def test_an_array_of_floats_with_three_colours_is_an_image():
    array = np.zeros((64, 80, 3))
    array[..., 2] = 1.0
    image = np.asarray(Image.open(decoded(describe(array)["data"], "image/png")))
    assert image.shape == (64, 80, 3)
    assert (image == [0, 0, 255]).all()


def test_a_large_image_becomes_a_thumbnail_of_128_pixels():
    image = Image.open(decoded(describe(Image.new("RGB", (512, 256), (200, 20, 20)))["data"], "image/jpeg"))
    assert image.size == (128, 64)
    assert np.abs(np.asarray(image).astype(int) - [200, 20, 20]).max() <= 3


def test_bytes_of_an_image_are_an_image():
    described = describe(file_of(Image.new("L", (100, 70), 90)))
    image = np.asarray(Image.open(decoded(described["data"], "image/png")))
    assert image.shape == (70, 100, 3)
    assert (image == 90).all()


def test_a_waveform_with_its_rate_is_a_sound():
    wave = np.array([0.0, 0.5, -0.5, 0.25], np.float32)
    described = describe((wave, 8000))
    samples, rate = soundfile.read(decoded(described["data"], "audio/wav"), dtype="float32")
    assert described["kind"] == "audio"
    assert rate == 8000
    np.testing.assert_allclose(samples, wave, atol=1 / 32768)


def test_a_sound_is_cut_to_five_seconds_and_brought_to_16_khz():
    samples, rate = soundfile.read(decoded(describe((np.zeros(48_000 * 7), 48_000))["data"], "audio/wav"))
    assert (rate, len(samples)) == (16_000, 80_000)


def test_bytes_of_a_sound_are_a_sound():
    file = io.BytesIO()
    soundfile.write(file, np.full(160, 0.25), 16_000, format="FLAC")
    described = describe(file.getvalue())
    samples, rate = soundfile.read(decoded(described["data"], "audio/wav"))
    assert (described["kind"], rate, len(samples)) == ("audio", 16_000, 160)
    np.testing.assert_allclose(samples, 0.25, atol=1e-4)


def test_a_series_is_channels_by_time():
    array = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])  # (time, channels)
    assert describe(array) == {"kind": "series", "data": [[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]}
    assert describe(np.array([0.5, 1.5])) == {"kind": "series", "data": [[0.5, 1.5]]}


def test_a_long_series_is_averaged_to_a_hundred_points():
    (channel,) = describe(np.repeat(np.arange(100.0), 7))["data"]
    assert channel == list(range(100))


def test_what_is_not_finite_in_a_series_is_a_gap_that_json_can_hold():
    described = describe(np.array([1.0, np.nan, np.inf, 2.0]))
    assert described["data"] == [[1.0, None, None, 2.0]]
    json.dumps(described, allow_nan=False)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (None, "None"),
        ({"a": 1}, "{'a': 1}"),
        (b"neither", "7 bytes"),
        (np.zeros((0, 3)), "array (0, 3) of float64"),
        (np.zeros((2, 2, 5), np.uint8), "array (2, 2, 5) of uint8"),
        (np.full((2, 2, 3), 7.0), "array (2, 2, 3) of float64"),
        ((np.zeros(0), 8000), "(array([], dtype=float64), 8000)"),
        ((1, 2, 3), "(1, 2, 3)"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_few_words(raw, told):
    assert describe(raw) == {"kind": "other", "data": told}


def test_a_list_of_pictures_is_one_of_all_side_by_side() -> None:
    """Each is 64 pixels high: 64, 128 and 32 wide with two gaps of 2."""
    sizes = {(16, 16): (200, 0, 0), (256, 128): (0, 200, 0), (50, 100): (0, 0, 200)}
    described = describe([Image.new("RGB", size, colour) for size, colour in sizes.items()])
    strip = Image.open(decoded(described["data"], "image/jpeg"))
    assert strip.size == (64 + 2 + 128 + 2 + 32, 64)
    for place, wanted in zip((32, 130, 212), sizes.values(), strict=True):
        assert np.abs(np.subtract(strip.getpixel((place, 32)), wanted)).max() < 10
    assert describe([np.zeros((2, 2, 2, 2, 2), np.uint8)])["kind"] == "other"


def test_a_processor_says_how_a_sample_is_shown(tmp_path: Path) -> None:
    class Shouted(Processor):
        takes = ("text",)

        def decode(self, raw: object) -> object:
            return raw

        def show(self, raw: object) -> object:
            return str(raw).upper()

    class Plain(Shouted):
        takes = ("bytes",)

        def show(self, raw: object) -> object:
            return Processor.show(self, raw)

    assert shown(Shouted(), "seven") == {"kind": "text", "data": "SEVEN"}
    photo = tmp_path / "PHOTO.PNG"
    Image.new("RGB", (90, 70)).save(photo)
    assert shown(Plain(), str(photo))["kind"] == "image"
    assert shown(Shouted(), str(photo))["kind"] == "text"  # a text is no name of a file
