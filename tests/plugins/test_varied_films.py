"""What augmentations and corruptions make of films: which frames are read, and what each of them becomes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fusion_video import reading
from fusion_video.augmentations import VideoAlike, VideoCrop, VideoScatter
from fusion_video.damage.blur import blur
from fusion_video.damage.cut_short import cut_short
from fusion_video.damage.lost_frames import lost_frames
from fusion_video.damage.noise import noise
from fusion_video.damage.occlusion import occlusion
from fusion_video.film import Film, film
from fusion_video.reading import frames

from fusion import DataError, Recipe, Registry, builtin, decode, measure_under, train
from fusion.testing import check_augmentation, check_corruption
from tests.plugins.test_video import film as file_of
from tests.plugins.test_video import numbers

GRAY = np.full((40, 32, 32, 3), 100, np.uint8)
COUNTED = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
AUGMENT = {component.name: component.resolve() for component in builtin.fusion_augmentations()}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def nothing() -> Any:
    raise AssertionError("no other row is read")


def pixels(raw: Any, count: int) -> Any:
    return np.stack([np.asarray(decode.image(frame)) for frame in frames(raw, count)]).astype(int)


def shown(raw: Any, count: int) -> list[int]:
    return pixels(raw, count)[:, 0, 0, 0].tolist()  # type: ignore[no-any-return]


def test_a_part_of_a_film_has_its_own_middles_and_one_frame_at_least() -> None:
    assert shown(COUNTED, 4) == [12, 37, 62, 87]
    assert shown(Film(COUNTED, 0.2, 0.6), 4) == [25, 35, 45, 55]
    assert shown(Film(COUNTED, 0.5, 0.5), 4) == [50]
    assert shown(Film(COUNTED, 1.0, 1.0), 4) == [99]
    assert shown(Film(COUNTED[:1], 0.3, 0.4), 4) == [0]


def test_a_crop_is_of_random_length_and_place_and_crops_of_crops_lie_within() -> None:
    spans, draws = [], rng()
    for _ in range(2000):
        once = VideoCrop(least=0.4)(COUNTED, draws, nothing)
        twice = VideoCrop(least=0.4)(once, draws, nothing)
        assert 0 <= once.start <= twice.start < twice.end <= once.end <= 1
        assert once.end - once.start >= 0.4 - 1e-9
        spans.append((once.start, once.end - once.start))
    starts, lengths = np.array(spans).T
    assert lengths.mean() == pytest.approx(0.7, abs=0.03)  # uniform in 0.4 .. 1
    assert starts.mean() == pytest.approx(0.15, abs=0.02)  # half of what is left


def test_scattered_frames_are_one_of_each_part_and_every_one_of_it_may_come() -> None:
    found = np.array([shown(VideoScatter()(COUNTED, rng(seed), nothing), 4) for seed in range(300)])
    assert (found // 25 == np.arange(4)).all()
    assert [len(set(column)) for column in found.T] == [25] * 4
    assert shown(VideoScatter()(COUNTED[:3], rng(), nothing), 4) == [0, 1, 2]


def test_all_frames_are_varied_alike_and_films_are_not() -> None:
    vary = VideoAlike(by=AUGMENT["image-color"](brightness=0.9))
    one, other = (pixels(vary(GRAY, rng(seed), nothing), 4) for seed in (0, 1))
    assert (one == one[0]).all()
    assert (one[0] != GRAY[0]).all()
    assert (one != other).any()
    again = VideoAlike(by=AUGMENT["image-invert"](share=1.0))(vary(GRAY, rng(0), nothing), rng(), nothing)
    np.testing.assert_array_equal(pixels(again, 4), 255 - one)  # one after the other
    mixed = VideoAlike(by=AUGMENT["image-mixup"]())(GRAY, rng(), nothing)
    np.testing.assert_array_equal(pixels(mixed, 4), GRAY[:4])


def test_noise_is_another_one_in_every_frame_and_a_box_is_in_one_place() -> None:
    added = pixels(noise(GRAY, 3, rng()), 8) - 100
    assert added.std(axis=(1, 2, 3)) == pytest.approx(np.full(8, 255 * 0.08), rel=0.1)
    assert np.abs(np.corrcoef(added.reshape(8, -1)) - np.eye(8)).max() < 0.1
    for severity in (1, 5):
        box = (pixels(occlusion(GRAY, severity, rng()), 8) == 127).all(axis=3)
        assert (box == box[0]).all()
        assert box[0].mean() == pytest.approx(0.1 * severity, abs=0.03)
    sharp = np.tile(np.array([0, 255], np.uint8), 16)[None, None, :, None] * np.ones((4, 32, 1, 3), np.uint8)
    spread = [pixels(blur(sharp, severity, rng()), 4)[:, :, 8:24].std() for severity in (1, 3, 5)]
    assert 127.5 > spread[0] > spread[1] > spread[2]


def test_a_frame_that_is_lost_is_the_one_before() -> None:
    for severity in range(1, 6):
        kept = []
        for seed in range(100):
            found = shown(lost_frames(COUNTED[:10], severity, rng(seed)), 10)
            assert found[0] == 0
            before = [None, *found[:-1]]
            assert all(
                one in (place, last) for place, (one, last) in enumerate(zip(found, before, strict=True))
            )
            kept += [one == place for place, one in enumerate(found)][1:]
        assert 1 - np.mean(kept) == pytest.approx(0.15 * severity, abs=0.05)


def test_what_is_cut_short_is_the_beginning() -> None:
    assert [max(shown(cut_short(COUNTED, severity, rng()), 100)) for severity in range(1, 6)] == [
        *(79, 64, 49, 34, 19)
    ]


def test_files_are_read_when_they_are_decoded_and_no_more_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = file_of(200, key_every=10)
    assert VideoCrop()("no/such.mp4", rng(), nothing).raw == "no/such.mp4"  # found when it is read
    assert numbers(Film(raw, 0.5, 0.9), 4) == [110, 130, 150, 170]
    monkeypatch.setattr(reading, "MAX_DECODED", 4)  # each is a key frame
    assert numbers(Film(raw, 0.5, 0.9, changes=(iter,)), 4) == [110, 130, 150, 170]


def test_the_contract_holds_for_arrays_and_files() -> None:
    samples: list[Any] = [COUNTED, GRAY[:1], file_of(12), Film(GRAY, 0.2, 0.8)]
    for vary in (VideoCrop, VideoScatter, lambda: VideoAlike(by=AUGMENT["image-crop"]())):
        assert len(check_augmentation(vary, samples)) == 7
    for damage in (blur, noise, occlusion, lost_frames, cut_short):
        assert len(check_corruption(damage, samples)) == 6


@pytest.mark.parametrize("raw", [None, 3, np.zeros((2, 3)), [1]])
def test_what_is_no_film_is_refused(raw: Any) -> None:
    with pytest.raises(DataError, match="video expected as a path, bytes"):
        film(raw)


def test_a_film_is_varied_in_training_and_damaged_in_evaluation(registry: Registry, tmp_path: Path) -> None:
    rows = {"name": "squares", "rows": 24}
    crop = {"name": "image-crop"}
    recipe = Recipe(
        sources={"all": rows, "blind": {**rows, "without": ["video"]}},
        encoders={
            "video": {
                "name": "video",
                "frames": {"name": "scratch-image", "size": 16, "dim": 16},
                "count": 2,
            },
            "text": {"name": "scratch-text", "dim": 16, "layers": 1},
            "image": {"name": "scratch-image", "size": 16, "dim": 16},
        },
        augment={
            "video": [{"name": "video-crop"}, {"name": "video-scatter"}, {"name": "video-alike", "by": crop}]
        },
        width=16,
        objectives={"way": {"name": "classify", "classes": 4}},
        train={"steps": 2, "batch": 8},
        evaluate={"sources": {"test": {**rows, "split": "test"}}},
    )
    run = train(recipe, tmp_path / "run", registry=registry)
    assert run.metrics["data/bad_rows"] == 0
    record = measure_under(
        run, "corruption", kinds=["video-lost-frames"], severities=[0, 5], registry=registry
    )
    assert record is not None
    untouched, damaged = record.points
    key = "subsets/video/accuracy"
    assert untouched.metrics[key] == record.clean[key]
    assert (damaged.damaged, damaged.kind, record.bad_rows) == ("video", "video-lost-frames", 0)
