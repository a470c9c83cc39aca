"""What holds for every augmentation: the contract on odd samples, the bounds of options, sizes and forms."""

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from fusion import Augmentation, Component, DataError, builtin, decode, options
from fusion.testing import check_augmentation
from tests.augmentations.toys import vary

COMPONENTS = {component.name: component for component in builtin.fusion_augmentations()}
ALL = pytest.mark.parametrize("component", COMPONENTS.values(), ids=COMPONENTS)


def png(picture: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def wav(wave: Any, rate: int, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=kind)
    return file.getvalue()


UNREADABLE: dict[str, list[Any]] = {
    "image": [b"no picture", "/no/such.png", np.zeros(3), "text", None],
    "audio": [b"no sound", "/no/such.wav", (np.zeros(0), 8000), (np.full(3, np.nan), 8000), None],
    "text": ["", " \n", b"bytes", 3, None],
}


def odd_samples() -> dict[str, list[Any]]:
    draw = np.random.default_rng(0)
    photo = Image.fromarray(draw.integers(0, 256, (90, 120, 3), dtype=np.uint8))
    hiss = draw.normal(0, 0.1, 3000)
    return {
        "image": [
            draw.integers(0, 256, (8, 8), dtype=np.uint8),
            draw.random((1, 9, 3)),
            draw.integers(0, 65536, (20, 5), dtype=np.uint16),
            np.zeros((1, 1, 4), np.uint8),
            photo,
            photo.convert("L"),
            photo.quantize(5),
            photo.convert("RGBA"),
            photo.convert("1"),
            png(photo),
            png(photo, "JPEG"),
        ],
        "audio": [
            (hiss, 8000),
            (hiss[:1], 8000),
            (hiss[:2].astype(np.float32), 44_100),
            ((hiss * 2**15).astype(np.int16).reshape(-1, 2), 16_000),
            (np.zeros(50), 1_000_000),
            (hiss.tolist(), 1),
            wav(hiss, 22_050),
            wav(hiss.reshape(-1, 2), 48_000, "FLAC"),
        ],
        "text": [
            "a",
            "several plain words",
            " spaces \n around\t",
            "漢字",
            "naïve\u0301",
            "x" * 5000,
            "{} {0}",
        ],
    }


SAMPLES = odd_samples()


def modality(component: Component) -> str:
    return component.name.split("-")[0]


def built(component: Component, **given: Any) -> Augmentation:
    values, problems = options.check(component, {**component.tiny, **given}, "")
    assert problems == []
    return component.resolve()(**values)  # type: ignore[no-any-return]


def test_there_are_some_for_each_modality() -> None:
    counts = {name: sum(modality(one) == name for one in COMPONENTS.values()) for name in SAMPLES}
    assert counts == {"image": 11, "audio": 7, "text": 3}


@ALL
def test_it_keeps_the_contract_on_odd_samples(component: Component) -> None:
    passed = check_augmentation(component.resolve(), SAMPLES[modality(component)], **component.tiny)
    assert len(passed) == 7


@ALL
def test_what_it_gives_is_what_encoders_read(component: Component) -> None:
    augmentation = built(component)
    raws = SAMPLES[modality(component)]
    for row, raw in enumerate(raws):
        varied = augmentation(raw, np.random.default_rng(row), lambda row=row: raws[row - 1])
        if modality(component) == "image":
            assert isinstance(varied, Image.Image)
            assert varied.mode == "RGB"
            assert decode.image(varied) == varied
        elif modality(component) == "audio":
            wave, rate = varied
            assert rate == decode.sound(raw)[1]
            np.testing.assert_array_equal(decode.audio(varied, rate, len(wave) / rate), wave)
        else:
            assert decode.text(varied) == varied


@ALL
def test_a_sample_that_cannot_be_read_is_refused(component: Component) -> None:
    for raw in UNREADABLE[modality(component)]:
        with pytest.raises(DataError):
            built(component)(raw, np.random.default_rng(0), lambda: None)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("image-resize", {"least": 0}),
        ("image-resize", {"most": 4097}),
        ("image-move", {"shift": 1.01}),
        ("image-move", {"scale": 1}),
        ("image-move", {"rotate": -0.1}),
        ("image-crop", {"least": 0}),
        ("image-crop", {"stretch": 0.9}),
        ("image-flip", {"share": 2}),
        ("image-color", {"brightness": -1}),
        ("image-color", {"hue": 0.51}),
        ("image-noise", {"strength": float("nan")}),
        ("image-invert", {"share": "often"}),
        ("image-blend", {"how": "multiply"}),
        ("image-blend", {"cells": 0}),
        ("image-randaugment", {"operations": 0}),
        ("image-randaugment", {"magnitude": 31}),
        ("image-mixup", {"alpha": 0}),
        ("image-cutmix", {"alpha": float("inf")}),
        ("audio-mixup", {"alpha": -1}),
        ("audio-speed", {"strength": 1}),
        ("audio-position", {"early": 1}),
        ("audio-position", {"late": -0.1}),
        ("audio-gain", {"decibels": 61}),
        ("audio-noise", {"strength": -1}),
        ("audio-mask", {"times": -1}),
        ("audio-mask", {"band": 1.1}),
        ("text-template", {"templates": []}),
        ("text-typo", {"strength": 1.1}),
        ("text-dropout", {"strength": 1}),
    ],
)
def test_an_option_out_of_its_range_is_named(name: str, given: dict[str, Any]) -> None:
    component = COMPONENTS[name]
    _, problems = options.check(component, {**component.tiny, **given}, "augment.0")
    [option] = given
    assert [problem.path for problem in problems] == [f"augment.0.{option}"]
    assert "does not fit" in problems[0].message


@ALL
def test_an_option_of_another_type_is_refused(component: Component) -> None:
    for option in component.options().values():
        _, problems = options.check(component, {**component.tiny, option.name: object()}, "")
        assert len(problems) == 1


def test_only_randaugment_loads_torchvision() -> None:
    code = (
        "import sys\nfrom fusion import builtin\n"
        "light = [one for one in builtin.fusion_augmentations() if one.name != 'image-randaugment']\n"
        "assert len([one.resolve() for one in light]) == 20\nprint('torchvision' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_a_photo_taken_sideways_is_turned_upright_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    file = io.BytesIO()
    Image.new("RGB", (40, 20)).save(file, "JPEG", exif=exif)
    for name in ("image-flip", "image-move", "image-color", "image-mixup"):
        upright = vary(built(COMPONENTS[name]), file.getvalue(), 0, file.getvalue())
        assert upright.size == (20, 40)
        assert vary(built(COMPONENTS[name]), upright, 0, upright).size == (20, 40)
