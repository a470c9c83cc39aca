"""Images, sounds and texts that are small in a file and large in memory, or no file at all."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from fusion import DataError, decode
from fusion.data.sounds import MAX_SAMPLES


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, more: bytes = b"") -> bytes:
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + more + pixels + chunk(b"IEND", b"")


def bomb(kind: bytes, size: int = 100_000_000) -> bytes:
    return chunk(kind, b"k\0\0" + zlib.compress(bytes(size)))


def sound(seconds: float, rate: int = 16_000, channels: int = 1, **form: Any) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, channels, **form) as opened:
        for _ in range(round(seconds)):
            opened.write(np.zeros((rate, channels), np.float32))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (png(100_000, 100_000), "far more than the 50,000,000 pixels"),
        (png(7001, 7201), "image of 7001 x 7201 pixels; at most"),
        (png(2**31 - 1, 1), "image of|far more"),
        (png(7000, 7000), "cannot read the image"),
        (png(10, 10, bomb(b"zTXt")), "Decompressed data too large"),
        (png(10, 10, bomb(b"iCCP")), "Decompressed data too large"),
        (b"P6 7000 7000 255\n" + bytes(9), "cannot read the image"),
        (b"P6 " + b"9" * 1_000_000 + b" 1 255\n", "cannot read the image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of PNG, JPEG"),
        (b"<svg><image href='file:///etc/passwd'/></svg>", "none of PNG, JPEG"),
    ],
)
def test_an_image_that_is_larger_than_it_looks_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(DataError, match=told):
        decode.image(content)


def test_of_many_frames_one_is_read() -> None:
    file = io.BytesIO()
    frames = [Image.new("P", (9, 9), number % 250) for number in range(2000)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert decode.image(file.getvalue()).size == (9, 9)


def test_a_sound_of_many_silent_channels_takes_the_memory_of_one() -> None:
    """8 channels for 5 minutes are 154 MB at once."""
    content = sound(300, channels=8, format="FLAC", subtype="PCM_16")
    assert len(content) < 2**20
    wave, rate = decode.sound(content)
    assert (wave.shape, rate) == ((300 * 16_000,), 16_000)
    assert not wave.any()


def test_channels_are_averaged_over_the_bounds_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    given = np.random.default_rng(0).uniform(-1, 1, (1000, 3)).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, given, 8000, format="WAV", subtype="FLOAT")
    monkeypatch.setattr("fusion.data.sounds.BLOCK", 50)  # 16 samples of three channels
    wave, _ = decode.sound(file.getvalue())
    np.testing.assert_array_equal(wave, given.mean(axis=1))
    part, _ = decode.sound(file.getvalue(), start=17 / 8000, seconds=100 / 8000)
    np.testing.assert_array_equal(part, given[17:117].mean(axis=1))


@pytest.mark.parametrize("frames", [2**35, 3600 * 16_000 + 1])
def test_a_sound_that_says_it_has_no_end_is_refused(frames: int) -> None:
    content = bytearray(sound(1, format="FLAC", subtype="PCM_16"))
    about = int.from_bytes(content[18:26], "big")  # of STREAMINFO: the last 36 bits count the samples
    content[18:26] = (about >> 36 << 36 | frames).to_bytes(8, "big")
    for read in (decode.sound, decode.duration, lambda raw: decode.audio(raw, 16_000, 1.0)):
        with pytest.raises(DataError, match="at most 3,600 s are read"):
            read(bytes(content))


def test_an_hour_at_a_rate_that_nobody_hears_is_refused() -> None:
    wave = np.broadcast_to(np.float32(0), (MAX_SAMPLES + 1,))
    with pytest.raises(DataError, match=r"sound of 172,800,001 samples; at most 172,800,000 are read"):
        decode.sound((wave, 96_000))


def test_an_hour_in_a_small_file_is_read_as_far_as_it_is_asked_for() -> None:
    content = sound(3500, format="FLAC", subtype="PCM_16")  # 224 MB of floats
    assert len(content) < 2**20
    assert decode.audio(content, 16_000, 1.0).shape == (16_000,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x" * 10_000_000, "text of 10,000,000 characters; at most 1,000,000"),
        ("\ud800", "a character that is not Unicode at 0"),
        ("a\udfff", "a character that is not Unicode at 1"),
        (" \u2003\n", "the text is empty"),
    ],
)
def test_a_text_that_is_none_is_refused(text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        decode.text(text)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe would be waited for, a device has no end, a link leads to itself."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (
        tmp_path / "pipe",
        tmp_path / "loop",
        "/dev/zero",
        "a\0b",
        "\ud800",
        "x" * 5000,
    ):
        for read in (decode.image, decode.sound):
            with pytest.raises(DataError, match="no such file"):
                read(path)
