"""What is drawn over an input: red where it speaks for the answer, blue where it speaks against it."""

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fusion.report.overlay import AGAINST, FOR, STRONG, overlay, scaled


def pixels(address: str) -> npt.NDArray[np.uint8]:
    content = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)))


def mixed(grey: float, colour: tuple[float, ...]) -> list[int]:
    return [round(grey * (1 - STRONG) + part * STRONG) for part in colour]


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_picture_is_grey_and_what_speaks_for_the_answer_red(channels_last: bool) -> None:
    given = np.zeros((3, 8, 8), np.float32)
    given[:, :, 4:] = 2.0  # black to the left, white to the right
    values = np.zeros((3, 8, 8), np.float32)
    values[:, 0, 0] = 0.5  # 1.5 in all channels
    values[0, 7, 7] = -1.5
    if channels_last:
        given, values = np.moveaxis(given, 0, -1), np.moveaxis(values, 0, -1)
    plain, over = map(pixels, overlay(given, values, False))
    assert plain.shape == over.shape == (256, 256, 3)
    assert (plain[:, :128] == 0).all()
    assert (plain[:, 128:] == 255).all()
    assert over[0, 0].tolist() == over[31, 31].tolist() == mixed(0, FOR)
    assert over[255, 255].tolist() == mixed(255, AGAINST)
    assert (over[32:224] == plain[32:224]).all()


@pytest.mark.parametrize("shape", [(4, 16), (16, 4), (1, 16, 4)])
def test_a_sound_has_its_time_across_and_low_frequencies_below(shape: tuple[int, ...]) -> None:
    given, values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    plane: Any = values.reshape(shape[-2:])
    (plane if plane.shape[0] < plane.shape[1] else plane.T)[0, 12] = 1.0  # the lowest band, late
    _, over = map(pixels, overlay(given, values, True))
    assert over.shape == (64, 256, 3)
    assert over[63, 12 * 16].tolist() == mixed(0, FOR)
    assert (over[:48] == over[0, 0]).all()


def test_a_waveform_is_coloured_along_its_time() -> None:
    given = np.concatenate([np.zeros(512), np.ones(512)]).astype(np.float32)
    values = np.zeros(1024, np.float32)
    values[960:] = -0.01
    plain, over = map(pixels, overlay(given, values, True))
    assert plain.shape == (72, 256, 3)
    assert (plain[0, :128] == 245).all()  # silent
    assert (plain[0, 128:] == 90).all()
    assert over[0, 255].tolist() == mixed(90, AGAINST)
    assert (over[:, :200] == plain[:, :200]).all()


def test_values_are_scaled_by_the_largest_but_for_a_few() -> None:
    values = np.array([*[1.0] * 998, -2.0, 100.0])
    assert scaled(values).tolist() == [*[1.0] * 998, -1.0, 1.0]
    assert scaled(np.array([0.0] * 999 + [4.0]))[-1] == 1  # one of a thousand is all there is
    assert not scaled(np.zeros(3)).any()
