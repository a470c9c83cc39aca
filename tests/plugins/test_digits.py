"""The embedded digits: what a row holds, and that nothing tested was ever trained on."""

import json
import pickle
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from typing import Any, get_args

import numpy as np
import pytest
from fusion_digits import corpus, fusion_sources
from fusion_digits.source import Digits, View
from fusion_digits.words import HELD_OUT, TEMPLATES, WORDS

from fusion import DataError

VIEWS = get_args(View)
SPLITS = ("train", "test")
INDEX = json.loads(files("fusion_digits").joinpath("spoken.json").read_text())
CLIPS = [dict(zip(INDEX["columns"], row, strict=True)) for row in INDEX["clips"]]


def digest(row: dict[str, Any]) -> str:
    """Everything in a row as one string, so that rows of two processes can be compared."""
    image, (waveform, rate) = row["image"], row["audio"]
    return f"{image.tobytes().hex()} {waveform.tobytes().hex()} {rate} {row['text']} {row['label']}"


def digits_named(text: str) -> set[int]:
    names = (*WORDS, *"0123456789")
    return {names.index(token) % 10 for token in re.findall(r"[a-z]+|[0-9]+", text) if token in names}


def test_the_plugin_offers_one_source_which_builds_tiny() -> None:
    (component,) = fusion_sources()
    assert component.name == "digits"
    assert component.resolve() is Digits
    assert list(component.options()) == ["view", "split", "noise", "limit"]
    assert len(Digits(**component.tiny)) == 64


@pytest.mark.parametrize("view", VIEWS)
def test_a_row_holds_exactly_the_modalities_of_its_view(view: View) -> None:
    row = Digits(view=view)[0]
    assert set(row) == {*view.split("-"), "label"}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_a_row_for_every_scan_or_else_for_every_clip(view: View) -> None:
    lengths = [len(Digits(view=view, split=split)) for split in SPLITS]
    assert lengths == ([720, 240] if view in ("audio", "audio-text") else [1297, 500])


def test_the_first_scan_is_a_round_zero_with_a_hole() -> None:
    # The first of load_digits is in the train split; its rows 0 and 3 as UCI prints them, 0..16.
    image = Digits(view="image")[0]["image"]
    assert (image.dtype, image.shape) == (np.uint8, (8, 8))
    assert image[0].tolist() == [round(v * 255 / 16) for v in (0, 0, 5, 13, 9, 1, 0, 0)]
    assert image[3].tolist() == [round(v * 255 / 16) for v in (0, 4, 12, 0, 0, 8, 8, 0)]
    assert Digits(view="image")[0]["label"] == 0


def test_audio_is_mono_at_8_khz_within_full_scale_and_shorter_than_a_second() -> None:
    for split in SPLITS:
        rows = list(Digits(view="audio", split=split))
        assert len(rows) > 0
        for row in rows:
            waveform, rate = row["audio"]
            assert (rate, waveform.dtype, waveform.ndim) == (8000, np.float32, 1)
            assert 0.2 * rate < len(waveform) < 0.9 * rate
            assert np.abs(waveform).max() == pytest.approx(0.7, abs=16 / 32768)


def test_clips_are_no_silence_at_either_end() -> None:
    for row in Digits(view="audio"):
        waveform, rate = row["audio"]
        sounding = np.flatnonzero(np.abs(waveform) >= 0.0065)  # 1 % of the peak, rounded
        assert sounding[0] <= 0.03 * rate
        assert len(waveform) - sounding[-1] <= 0.03 * rate


@pytest.mark.parametrize("view", [view for view in VIEWS if "text" in view])
@pytest.mark.parametrize("split", SPLITS)
def test_a_text_names_its_label_and_no_other_digit(view: View, split: corpus.Split) -> None:
    for row in Digits(view=view, split=split):
        assert digits_named(row["text"]) == {row["label"]}


def test_scans_and_clips_of_a_row_agree_on_the_digit() -> None:
    spoken = {tuple(row["audio"][0].tolist()): row["label"] for row in Digits(view="audio")}
    written = {row["image"].tobytes(): row["label"] for row in Digits(view="image")}
    for row in Digits(view="image-audio"):
        heard = spoken[tuple(row["audio"][0].tolist())]
        assert heard == written[row["image"].tobytes()] == row["label"]


@pytest.mark.parametrize("split", SPLITS)
def test_clips_take_turns_beside_scans(split: corpus.Split) -> None:
    used = np.bincount(corpus.pairs(split), minlength=len(corpus.clips(split).labels))
    labels = corpus.clips(split).labels
    assert used.min() >= 1
    assert all(np.ptp(used[labels == digit]) <= 1 for digit in range(10))


def test_every_phrase_is_used_and_held_out_ones_only_in_test() -> None:
    def phrases(split: corpus.Split) -> set[str]:
        return {
            row["text"].replace(WORDS[row["label"]], "{word}").replace(str(row["label"]), "{numeral}")
            for row in Digits(view="text", split=split)
        }

    assert phrases("train") == set(TEMPLATES)
    assert phrases("test") == {*TEMPLATES, *HELD_OUT}


def test_32_voices_in_three_accents_speak_ten_digits_once_each() -> None:
    voices, accents = {clip["voice"] for clip in CLIPS}, {clip["accent"] for clip in CLIPS}
    assert (len(voices), len(accents), len(CLIPS)) == (32, 3, 960)
    assert len({(clip["voice"], clip["accent"], clip["digit"]) for clip in CLIPS}) == 960


def test_no_voice_is_heard_on_both_sides() -> None:
    train, test = ({clip["voice"] for clip in CLIPS if clip["split"] == split} for split in SPLITS)
    assert (len(train), len(test)) == (24, 8)
    assert not train & test


def test_no_two_clips_are_the_same_bytes() -> None:
    # Such as two voices that espeak-ng renders alike, one on either side.
    heard = {row["audio"][0].tobytes() for split in SPLITS for row in Digits(view="audio", split=split)}
    assert len(heard) == 960


def test_no_scan_is_seen_on_both_sides_and_none_is_lost() -> None:
    train, test = ({scan.tobytes() for scan in corpus.scans(split).pixels} for split in SPLITS)
    assert (len(train), len(test)) == (1297, 500)
    assert not train & test


def test_fifty_scans_and_24_clips_of_each_digit_are_tested() -> None:
    assert np.bincount(corpus.scans("test").labels).tolist() == [50] * 10
    assert np.bincount(corpus.clips("test").labels).tolist() == [24] * 10


def test_rows_are_the_same_after_pickling_which_carries_no_data() -> None:
    source = Digits(noise=0.5)
    before = digest(source[7])
    packed = pickle.dumps(source)
    assert len(packed) < 500
    assert digest(pickle.loads(packed)[7]) == before


def test_rows_are_the_same_in_another_process() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from fusion_digits.source import Digits\n"
        "row = Digits(split='test', noise=0.5)[7]\n"
        "image, (sound, rate) = row['image'], row['audio']\n"
        "print(image.tobytes().hex(), sound.tobytes().hex(), rate, row['text'], row['label'])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == digest(Digits(split="test", noise=0.5)[7])


def test_changing_a_row_changes_no_later_row() -> None:
    row = Digits()[0]
    row["image"][:] = 255
    row["audio"][0][:] = 1
    assert Digits()[0]["image"][0, 0] == 0
    assert np.abs(Digits()[0]["audio"][0]).max() < 0.71


def test_noise_zero_leaves_the_scan_the_clip_and_the_text_untouched() -> None:
    row = Digits(noise=0.0)[3]
    clips = corpus.clips("train")
    assert row["image"].tobytes() == corpus.scans("train").pixels[3].tobytes()
    assert row["audio"][0].tobytes() == clips.waveform(int(corpus.pairs("train")[3])).tobytes()
    assert digits_named(row["text"]) == {row["label"]}


def test_noise_has_the_stated_size_in_each_modality() -> None:
    # 0.1: image std 25.5 of 255 (before clipping, so on mid-grey pixels only), hiss 0.8 of the clip's
    # root mean square, 8 % of the characters struck, and 1 in 26 of those by the letter that stood there.
    clean, noisy = list(Digits()), list(Digits(noise=0.1))
    pixels = np.array([row["image"] for row in clean]).astype(float)
    change = np.array([row["image"] for row in noisy]) - pixels
    middle = (pixels > 110) & (pixels < 145)
    assert change[middle].std() == pytest.approx(25.5, rel=0.03)
    for before, after in zip(clean[:50], noisy[:50], strict=True):
        quiet, loud = before["audio"][0], after["audio"][0]
        gain = (quiet @ loud) / (quiet @ quiet)  # loud = gain * (quiet + hiss), hiss uncorrelated
        hiss = loud / gain - quiet
        assert hiss.std() / np.sqrt(np.mean(quiet**2)) == pytest.approx(0.8, rel=0.1)
        assert np.abs(loud).max() <= 1
    said, typed = ("".join(row["text"] for row in rows) for rows in (clean, noisy))
    assert np.mean([a != b for a, b in zip(said, typed, strict=True)]) == pytest.approx(0.08, abs=0.008)


def test_noise_of_a_modality_is_the_same_in_every_view_and_differs_between_splits() -> None:
    alone, beside = Digits(view="image", noise=0.3)[5], Digits(view="image-audio", noise=0.3)[5]
    assert alone["image"].tobytes() == beside["image"].tobytes()
    hiss = [Digits(view="audio", split=split, noise=1.0)[0]["audio"][0][:500] for split in SPLITS]
    assert abs(np.corrcoef(*hiss)[0, 1]) < 0.3


def test_limit_keeps_the_first_rows_and_no_more_than_there_are() -> None:
    assert [digest(row) for row in Digits(limit=3)] == [digest(Digits()[index]) for index in range(3)]
    assert len(Digits(limit=10**6)) == 1297


@pytest.mark.parametrize("index", [-1, 2, 1297])
def test_a_row_out_of_range_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match=f"digits: row {index} of 2"):
        Digits(limit=2)[index]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": -0.1}, r"digits: noise is -0\.1; allowed: 0 \(none\) or more"),
        ({"noise": float("nan")}, r"digits: noise is nan; allowed: 0"),
        ({"limit": 0}, r"digits: limit is 0; allowed: 1 or more"),
        ({"view": "smell"}, r"digits: view is 'smell'; allowed: image, text, audio"),
        ({"split": "dev"}, r"digits: split is 'dev'; allowed: train, test"),
    ],
)
def test_an_option_out_of_range_says_what_is_allowed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Digits(**options)


def test_the_speech_is_one_file_below_four_megabytes_and_names_no_machine() -> None:
    speech = files("fusion_digits").joinpath("spoken.flac").read_bytes()
    assert speech[:4] == b"fLaC"
    assert len(speech) <= 4_000_000
    assert "/" not in json.dumps(INDEX)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_speaking_again_gives_the_shipped_samples() -> None:
    from fusion_digits.speak import clip

    version = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout
    if not version.startswith(INDEX["engine"]):
        pytest.skip(f"the shipped clips were spoken by {INDEX['engine']}")
    first = corpus.clips("test").waveform(0)
    row = next(row for row in CLIPS if row["split"] == "test")
    again = clip(row["digit"], row["voice"], row["accent"]) / 32768
    # One 12-bit step apart at most: two builds of the resampler may round differently.
    np.testing.assert_allclose(again, first, atol=16 / 32768)


def test_noise_by_modality_leaves_the_others_alone() -> None:
    clean, noisy = Digits(), Digits(noise={"image": 0.5})
    assert not np.array_equal(clean[3]["image"], noisy[3]["image"])
    assert np.array_equal(clean[3]["audio"][0], noisy[3]["audio"][0])
    assert clean[3]["text"] == noisy[3]["text"]
    assert np.array_equal(noisy[3]["image"], Digits(noise=0.5)[3]["image"])


@pytest.mark.parametrize("noise", [{"image": -1.0}, {"smell": 0.1}])
def test_noise_of_an_unknown_modality_or_below_zero_is_refused(noise: dict[str, float]) -> None:
    with pytest.raises(DataError, match=r"allowed: 0 \(none\) or more.* for any of image, audio, text"):
        Digits(noise=noise)
