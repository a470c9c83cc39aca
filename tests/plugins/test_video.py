"""Films: which frames are read and how many decoded, limits, torn files, and any encoder of images within."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from fusion_scratch.image import ScratchImage
from fusion_video import reading
from fusion_video.encoder import Video, VideoProcessor
from fusion_video.film import middles
from fusion_video.reading import frames

from fusion import DataError, Recipe, RecipeError, Registry, RunError, decode, load, train
from fusion.picks import complete, shrink
from fusion.testing import check_encoder

TALL, WIDE = 48, 64


def film(count: int, *, key_every: int = 10, form: str = "mp4", codec: str = "mpeg4") -> bytes:
    """Return a film whose frames show their number in stripes of black and white, and where a key frame is
    each so many."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDE, TALL, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.bit_rate = key_every, 4_000_000
        stream.codec_context.options = {"sc_threshold": "1000000000"}  # no key frames but these
        for number in range(count):
            bits = np.array([number >> bit & 1 for bit in range(8)], np.uint8)
            pixels = np.broadcast_to(np.repeat(255 * bits, WIDE // 8)[None, :, None], (TALL, WIDE, 3)).copy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def numbers(raw: Any, count: int) -> list[int]:
    """Return which frames were read, by what they show."""
    stripes = (frame.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1) > 127 for frame in frames(raw, count))
    return [int(sum(1 << bit for bit in np.flatnonzero(found))) for found in stripes]


def small(**options: Any) -> Video:
    return Video(frames=ScratchImage(size=16, dim=16), heads=2, **options)


@pytest.mark.parametrize("layers", [0, 2])
def test_the_contract_holds_for_films_of_all_lengths(layers: int) -> None:
    rng = np.random.default_rng(0)
    samples: list[Any] = [rng.integers(0, 256, (t, 20, 30, 3), np.uint8) for t in (1, 2, 4, 9)]
    assert check_encoder(lambda: small(count=4, layers=layers), [*samples, film(12)])


def test_frames_are_the_middles_of_equal_parts_or_all() -> None:
    assert middles(10, 5) == [1, 3, 5, 7, 9]
    assert middles(100, 4) == [12, 37, 62, 87]
    assert list(middles(3, 4)) == [0, 1, 2]
    assert list(middles(4, 4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("form", ["mp4", "matroska", "avi", "mpegts"])
def test_the_frames_of_a_file_are_those_that_are_wanted(form: str) -> None:
    raw = film(100, form=form)
    assert numbers(raw, 4) == [12, 37, 62, 87]
    assert numbers(raw, 200) == list(range(100))


def test_frames_that_are_shown_in_another_order_than_they_are_kept_are_found() -> None:
    raw = film(60, codec="libx264")  # with frames that refer to later ones
    assert numbers(raw, 5) == [6, 18, 30, 42, 54]


def test_a_path_bytes_and_an_array_are_the_same_film(tmp_path: Path) -> None:
    raw = film(30)
    (tmp_path / "film.mp4").write_bytes(raw)
    array = np.stack(list(frames(raw, 30)))
    for given in (tmp_path / "film.mp4", str(tmp_path / "film.mp4"), array):
        pairs = list(zip(frames(given, 3), frames(raw, 3), strict=True))
        assert [np.array_equal(one, other) for one, other in pairs] == [True] * 3


def test_what_lies_between_key_frames_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = film(200, key_every=10)
    monkeypatch.setattr(reading, "MAX_DECODED", 20)  # 25, 75, 125 and 175: 6 frames each from a key frame
    with pytest.raises(DataError, match="more than 20 frames have to be decoded"):
        numbers(raw, 4)
    monkeypatch.setattr(reading, "MAX_DECODED", 24)
    assert numbers(raw, 4) == [25, 75, 125, 175]


def test_a_film_with_one_key_frame_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = film(100, key_every=1000)
    monkeypatch.setattr(reading, "MAX_DECODED", 88)
    assert numbers(raw, 4) == [12, 37, 62, 87]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (3, "video expected as a path, bytes"),
        (decode.Text("film.mp4"), "video expected, not the text"),
        ("/no/such/film.mp4", "no such file: /no/such/film.mp4"),
        (b"", "the video is empty"),
        (b"no film at all" * 99, r"cannot read the video \(1,386 bytes\)"),
        (np.zeros((3, 4, 5), np.uint8), r"video array of shape \(3, 4, 5\)"),
        (np.zeros((0, 4, 5, 3), np.uint8), r"shape \(0, 4, 5, 3\)"),
    ],
)
def test_what_is_no_film_is_a_bad_row(raw: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        numbers(raw, 4)


def test_a_torn_film_is_a_bad_row() -> None:
    whole = film(100)
    for torn in (whole[:200], whole[: len(whole) // 2]):
        with pytest.raises(DataError, match="cannot read the video"):
            numbers(torn, 4)
    noise = np.random.default_rng(0).integers(0, 256, len(whole) // 2 - 1000, np.uint8).tobytes()
    with pytest.raises(DataError, match=r"cannot read the video|is torn"):
        numbers(whole[:1000] + noise + whole[len(whole) // 2 :], 4)


@pytest.mark.parametrize(("form", "codec"), [("matroska", "mpeg4"), ("webm", "libvpx")])
def test_a_film_without_a_frame_is_told(form: str, codec: str) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDE, TALL, "yuv420p"
        container.start_encoding()
    with pytest.raises(DataError, match=r"^the video has no frame$"):
        numbers(file.getvalue(), 4)


def test_what_ffmpeg_says_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("no film at all\n" * 9)
    said = f"cannot read the video ({path}): Invalid data found when processing input"
    with pytest.raises(DataError) as raised:
        numbers(path, 4)
    assert str(raised.value) == said


def test_a_sound_is_no_film() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
        sound.sample_rate, sound.time_base, sound.pts = 8000, Fraction(1, 8000), 0
        container.mux(stream.encode(sound))
    with pytest.raises(DataError, match="the file has no video"):
        numbers(file.getvalue(), 4)


def test_a_playlist_does_not_open_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "secret.ts").write_bytes(film(20, form="mpegts"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path / 'secret.ts'}\n#EXT-X-ENDLIST\n"
    for name, text in {
        "list.m3u8": playlist,
        "list.txt": f"ffconcat version 1.0\nfile {tmp_path}/secret.ts\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="cannot read the video"):
            numbers(tmp_path / name, 4)
        with pytest.raises(DataError, match="cannot read the video"):
            numbers(text.encode(), 4)


def test_films_that_are_too_large_are_bad_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = film(30)
    (tmp_path / "film.mp4").write_bytes(raw)
    monkeypatch.setattr("fusion_video.index.MAX_FRAMES", 29)
    with pytest.raises(DataError, match="video of more than 29 frames"):
        numbers(raw, 4)
    monkeypatch.setattr(decode, "MAX_PIXELS", WIDE * TALL - 1)
    with pytest.raises(DataError, match="video of 64 x 48 pixels; at most 3,071"):
        numbers(raw, 4)
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    with pytest.raises(DataError, match="at most 100 are read"):
        numbers(tmp_path / "film.mp4", 4)


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(RunError, match=r"pip install 'fusion-bind\[video\]'"):
        numbers(b"film", 4)
    assert numbers(np.zeros((2, 8, 8, 3), np.uint8), 4) == [0, 0]


def test_short_films_are_padded_with_their_last_frame_which_reaches_nothing() -> None:
    torch.manual_seed(0)
    encoder = small(count=4).eval()
    rng = np.random.default_rng(0)
    decoded = [encoder.processor.decode(rng.integers(0, 256, (t, 16, 16, 3), np.uint8)) for t in (4, 2)]
    inputs = encoder.processor.collate(decoded)
    assert inputs["real"].tolist() == [[True] * 4, [True, True, False, False]]
    assert torch.equal(inputs["frame/x"][1, 1], inputs["frame/x"][1, 3])
    dirty = inputs["frame/x"].clone()
    dirty[1, 2:] = 0.5
    clean, other = encoder(**inputs), encoder(**(inputs | {"frame/x": dirty}))
    assert torch.equal(clean.pooled, other.pooled)


def test_without_layers_the_vector_is_the_mean_of_the_frames() -> None:
    torch.manual_seed(0)
    encoder = small(count=3, layers=0).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    inputs = encoder.processor.collate([encoder.processor.decode(pixels)])
    image = encoder.frames
    alone = [image(**image.processor.collate([image.processor.decode(frame)])).pooled for frame in pixels]
    torch.testing.assert_close(encoder(**inputs).pooled, torch.stack(alone).mean(0))
    backwards = encoder.processor.collate([encoder.processor.decode(pixels[::-1])])
    torch.testing.assert_close(encoder(**backwards).pooled, encoder(**inputs).pooled)


def test_an_encoder_of_images_may_shape_its_inputs_otherwise() -> None:
    class Counting(type(small().processor.image)):  # type: ignore[misc]
        def collate(self, samples: Any) -> dict[str, torch.Tensor]:
            return super().collate(samples) | {"factor": torch.tensor([2.0, 3.0, 4.0, 5.0, 6.0])}

    processor = VideoProcessor(Counting(16), 2)
    inputs = processor.collate([processor.decode(np.zeros((2, 16, 16, 3), np.uint8))] * 3)
    assert {name: tuple(part.shape) for name, part in inputs.items()} == {
        "real": (3, 2),
        "frame/x": (3, 2, 3, 16, 16),
        "frames/factor": (5,),
    }


def test_a_recipe_says_what_reads_the_frames(registry: Registry, tmp_path: Path) -> None:
    rows = {"name": "squares", "rows": 24}
    model = {"name": "timm-image", "model": "resnet18", "pretrained": False, "size": 32}
    recipe = Recipe(
        sources={"all": rows, "blind": {**rows, "without": ["video"]}},
        encoders={
            "video": {"name": "video", "frames": model, "count": 2, "tune": {"layer_decay": 0.9}},
            "text": {"name": "scratch-text", "dim": 16, "layers": 1},
            "image": {"name": "scratch-image", "size": 16, "dim": 16},
        },
        width=16,
        fuser={"name": "attend"},
        objectives={"way": {"name": "classify", "classes": 4}},
        train={"steps": 2, "batch": 8},
        evaluate={"sources": {"test": {**rows, "split": "test"}}},
    )
    run = train(recipe, tmp_path / "run", registry=registry)
    assert {"video", "timm", "scratch"} <= run.manifest["plugins"].keys()
    assert any(path.parent.name == "frames" for path in run.assets.rglob("*") if path.is_file())
    answer = load(run).predict([{"video": film(9)}, {"text": "it moves nearer"}])["way"]
    assert answer.score.isfinite().all()
    with pytest.raises(RecipeError, match=r"encoders\.video\.frames\.modle: .*did you mean 'model'"):
        complete(recipe.model_copy(update={"encoders": _misspelt(recipe)}), registry)


def _misspelt(recipe: Recipe) -> dict[str, Any]:
    frames = {"name": "timm-image", "model": "resnet18", "modle": "x"}
    return {**recipe.encoders, "video": recipe.encoders["video"].model_copy(update={"frames": frames})}


def test_layers_tell_a_film_from_the_same_backwards() -> None:
    torch.manual_seed(0)
    encoder, head = small(count=4, layers=1), torch.nn.Linear(16, 1)
    ramps = np.linspace(0, 255, 4).astype(np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 3), np.uint8)
    inputs = encoder.processor.collate([encoder.processor.decode(film) for film in (ramps, ramps[::-1])])
    target = torch.tensor([1.0, 0.0])
    adam = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            head(encoder(**inputs).pooled)[:, 0], target
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss < 0.1  # that of a guess is 0.69


def test_a_bad_film_is_one_bad_row(tmp_path: Path, registry: Registry) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    lines = ["video,text"]
    for place in range(6):
        (folder / f"{place}.mp4").write_bytes(film(5 + place) if place else b"torn")
        lines.append(f"{place}.mp4,film {place}")
    (folder / "films.csv").write_text("\n".join(lines))
    recipe = Recipe(
        sources={"all": {"name": "datasets", "data": str(folder / "films.csv")}},
        encoders={
            "video": {"name": "video", "frames": {"name": "scratch-image"}},
            "text": {"name": "scratch-text"},
        },
        objectives={"near": {"name": "contrastive"}},
        train={"steps": 1, "batch": 6},
    )
    run = train(shrink(recipe, registry), tmp_path / "run", registry=registry)
    assert run.metrics["data/bad_rows"] == 1
