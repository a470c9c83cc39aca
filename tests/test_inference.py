"""A run answers for inputs in every form in which people have them, and says what it cannot read."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from PIL import Image

from fusion import DataError, PluginError, Predictor, Recipe, Registry, Run, RunError, load
from fusion.build import build_model, build_sources
from fusion.encoder import Encoding
from fusion.picks import complete

RATE = 8000


@pytest.fixture(scope="module")
def predictor(tiny_run: Run, registry: Registry) -> Predictor:
    return load(tiny_run, "cpu", registry)


@pytest.fixture(scope="module")
def rows(tiny_run: Run, registry: Registry) -> list[dict[str, Any]]:
    """Nine rows: three with everything, two with each single modality."""
    [source] = build_sources(tiny_run.recipe.evaluate.sources, registry).values()
    whole = [{key: value for key, value in source[index].items() if key != "label"} for index in range(9)]
    names = ["image", "text", "audio"]
    return whole[:3] + [{name: whole[3 + i][name]} for i, name in enumerate(names * 2)]


@pytest.fixture
def copied(tiny_run: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run.folder, tmp_path / "run"))


PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
WAVE = np.random.default_rng(0).uniform(-1, 1, 2000).astype(np.float32)


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format="PNG")
    return file.getvalue()


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, WAVE, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


FORMS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "PIL": ("image", lambda path: Image.fromarray(PIXELS)),
    "image bytes": ("image", lambda path: png()),
    "image path": ("image", lambda path: path / "seven.png"),
    "image path as text": ("image", lambda path: str(path / "seven.png")),
    "colours": ("image", lambda path: np.stack([PIXELS] * 3, axis=-1)),
    "sound bytes": ("audio", lambda path: wav()),
    "sound path": ("audio", lambda path: path / "seven.wav"),
    "sound path as text": ("audio", lambda path: str(path / "seven.wav")),
    "two channels": ("audio", lambda path: (np.stack([WAVE, WAVE], axis=1), RATE)),
    "spaces around": ("text", lambda path: "  the digit seven\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_sample_gives_the_same_vector_in_every_form(
    predictor: Predictor, tmp_path: Path, form: str
) -> None:
    (tmp_path / "seven.png").write_bytes(png())
    (tmp_path / "seven.wav").write_bytes(wav())
    plain = {"image": PIXELS, "audio": (WAVE, RATE), "text": "the digit seven"}
    name, make = FORMS[form]
    found = predictor.encode({name: make(tmp_path)}).vectors[name]
    expected = predictor.encode({name: plain[name]}).vectors[name]
    assert expected.norm().item() == pytest.approx(1.0)
    torch.testing.assert_close(found, expected)


def test_one_row_is_a_batch_of_one(predictor: Predictor, rows: list[dict[str, Any]]) -> None:
    one, many = predictor.encode(rows[0]), predictor.encode([rows[0]])
    assert one.fused.shape == (1, predictor.recipe.width)
    torch.testing.assert_close(one, many, rtol=0, atol=0)


def test_absent_modalities_have_zero_vectors_and_are_marked(
    predictor: Predictor, rows: list[dict[str, Any]]
) -> None:
    found = predictor.encode(rows)
    for name in ("image", "text", "audio"):
        assert found.present[name].tolist() == [name in row for row in rows]
        lengths = found.vectors[name].norm(dim=1)
        torch.testing.assert_close(lengths, found.present[name].float())


def test_none_is_absent(predictor: Predictor) -> None:
    found = predictor.encode({"image": None, "text": "seven", "audio": None})
    torch.testing.assert_close(found, predictor.encode({"text": "seven"}), rtol=0, atol=0)


@pytest.mark.parametrize("batch", [1, 2, 4, 9])
def test_the_size_of_batches_changes_no_number(
    predictor: Predictor, rows: list[dict[str, Any]], batch: int
) -> None:
    split = Predictor(predictor.model, predictor.recipe, batch=batch)
    torch.testing.assert_close(split.encode(rows), predictor.encode(rows))
    torch.testing.assert_close(split.predict(rows), predictor.predict(rows))


def test_encoding_twice_gives_the_same_bits(
    predictor: Predictor, tiny_run: Run, registry: Registry, rows: list[dict[str, Any]]
) -> None:
    first = predictor.encode(rows)
    torch.testing.assert_close(predictor.encode(rows), first, rtol=0, atol=0)
    torch.testing.assert_close(load(tiny_run.folder, "cpu", registry).encode(rows), first, rtol=0, atol=0)


def test_rows_may_come_from_a_generator(predictor: Predictor, rows: list[dict[str, Any]]) -> None:
    found = predictor.encode(row for row in rows)  # type: ignore[arg-type]
    assert len(found.fused) == len(rows)


def test_a_model_in_training_is_used_in_evaluation(tiny_run: Run, registry: Registry) -> None:
    model = build_model(tiny_run.recipe, registry).train()
    assert not Predictor(model, tiny_run.recipe).model.training


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no rows were given"),
        ({}, "^nothing is in it; give any of image, text, audio"),
        ({"image": None}, "^nothing is in it"),
        ([{"text": "one"}, {}], "^row 1: nothing is in it"),
        ([{"text": "one"}, {"imgae": "x.png"}], "^row 1: unknown modality 'imgae'; did you mean 'image'"),
        ([{"text": "one"}, {"image": "no/such.png"}], r"^row 1: image: no such file: no/such\.png"),
        ({"image": "no/such.png"}, r"^image: no such file: no/such\.png"),
        ({"image": b"not an image"}, "^image: cannot read the image"),
        ({"audio": b"not a sound"}, "^audio: cannot read the sound"),
        ({"text": " "}, "^text: the text is empty"),
        ("seven.png", r"^row 0: a row is a dict such as \{'image': \.\.\.\}, not str"),
    ],
)
def test_what_cannot_be_read_is_named(predictor: Predictor, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        predictor.encode(given)


def test_a_bad_row_is_named_by_its_number_in_any_batch(predictor: Predictor) -> None:
    small = Predictor(predictor.model, predictor.recipe, batch=2)
    with pytest.raises(DataError, match=r"^row 5: text: the text is empty"):
        small.encode([*({"text": "one"} for _ in range(5)), {"text": ""}])


def test_each_modality_is_classified_by_the_nearest_class(
    predictor: Predictor, rows: list[dict[str, Any]]
) -> None:
    classes, templates = ["one", "a cat"], ["the {}", "{}"]
    found = predictor.zero_shot(rows, classes, templates)
    assert set(found) == {"image", "audio"}
    sentences = predictor.encode([{"text": t.format(c)} for c in classes for t in templates]).vectors["text"]
    named = F.normalize(torch.stack([sentences[:2].mean(dim=0), sentences[2:].mean(dim=0)]), dim=1)
    encoded = predictor.encode(rows)
    for name, answer in found.items():
        for row, vector in enumerate(encoded.vectors[name]):
            if name not in rows[row]:
                assert answer.labels[row] is None
                assert answer.probabilities[row].isnan().all()
                continue
            similarity = named @ vector
            torch.testing.assert_close(answer.probabilities[row], (similarity * 100).softmax(dim=0))
            assert answer.labels[row] == classes[int(similarity.argmax())]


def test_only_the_modality_that_names_the_classes_leaves_nothing_to_classify(predictor: Predictor) -> None:
    assert predictor.zero_shot({"text": "one"}, ["one", "two"]) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["one"], "modality": "txt"}, "unknown modality 'txt'; did you mean 'text'"),
        ({"classes": []}, r"classes are \[\]; give their names in a list"),
        ({"classes": "one"}, "classes are 'one'; give their names in a list"),
        ({"classes": ["one"], "templates": []}, r"templates are \[\]; give a list"),
        ({"classes": ["one"], "templates": "a {}"}, "templates are 'a {}'; give a list"),
        ({"classes": ["one"], "templates": ["a {}", "a"]}, "each with {} where the class goes"),
        ({"classes": ["one", ""]}, "text: the text is empty"),
    ],
)
def test_classes_that_cannot_be_named_are_refused(
    predictor: Predictor, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        predictor.zero_shot({"image": PIXELS}, **options)


@pytest.fixture(scope="module")
def several(registry: Registry, tiny_run: Run) -> Predictor:
    """An untrained model with a task of every kind."""
    data = tiny_run.recipe.model_dump(mode="json")
    data["objectives"] = {
        "digit": {"name": "classify", "classes": 10},
        "size": {"name": "regress", "target": "size"},
        "place": {"name": "regress", "target": "place", "outputs": 2},
        "tags": {"name": "multilabel", "classes": 3},
    }
    recipe = complete(Recipe(**data), registry)
    torch.manual_seed(0)
    return Predictor(build_model(recipe, registry), recipe)


def test_every_task_answers_in_the_shape_of_its_target(
    several: Predictor, rows: list[dict[str, Any]]
) -> None:
    answers = several.predict(rows)
    shapes = {name: tuple(answer.value.shape) for name, answer in answers.items()}
    assert shapes == {"digit": (9,), "size": (9,), "place": (9, 2), "tags": (9, 3)}
    digit, size, tags = answers["digit"], answers["size"], answers["tags"]
    torch.testing.assert_close(digit.score.sum(dim=1), torch.ones(9))
    assert digit.value.tolist() == digit.score.argmax(dim=1).tolist()
    torch.testing.assert_close(size.value, size.score)
    assert tags.value.tolist() == (tags.score > 0.5).long().tolist()


def test_predictions_are_those_of_the_fused_vector(several: Predictor, rows: list[dict[str, Any]]) -> None:
    head = several.model.objectives["place"].head
    expected = head(several.encode(rows).fused).detach()
    torch.testing.assert_close(several.predict(rows)["place"].value, expected)


def test_a_run_without_a_task_says_that_it_cannot_predict(registry: Registry, tiny_run: Run) -> None:
    data = tiny_run.recipe.model_dump(mode="json")
    data["objectives"].pop("digit")
    recipe = complete(Recipe(**data), registry)
    with pytest.raises(RunError, match="'bind_digits' has no task that predicts; train with one"):
        Predictor(build_model(recipe, registry), recipe).predict({"text": "one"})


def test_the_weights_are_those_of_the_run(predictor: Predictor, tiny_run: Run, registry: Registry) -> None:
    torch.manual_seed(tiny_run.recipe.train.seed)
    fresh = build_model(tiny_run.recipe, registry)
    vector = torch.ones(1, fresh.align["text"].project.in_features).cumsum(1)
    loaded = predictor.model.align["text"](Encoding(vector)).pooled
    assert not torch.allclose(loaded, fresh.align["text"](Encoding(vector)).pooled)


def test_weights_of_which_one_bit_differs_are_refused(copied: Path, registry: Registry) -> None:
    file = copied / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(RunError, match=r"model\.safetensors is missing or damaged: its SHA-256 is not"):
        load(copied, registry=registry)


def test_weights_that_are_gone_are_refused(copied: Path, registry: Registry) -> None:
    (copied / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"model\.safetensors is missing or damaged"):
        load(copied, registry=registry)


def test_a_run_that_is_not_finished_is_refused(copied: Path, registry: Registry) -> None:
    (copied / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"the run is not finished; `--resume` it"):
        load(copied, registry=registry)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no recipe\.yaml"):
        load(tmp_path)


def test_a_run_is_loaded_where_its_data_is_not(
    tiny_run: Run, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSION_BLOCK", "digits")
    found = load(tiny_run.folder, "cpu").encode({"text": "seven"})
    torch.testing.assert_close(found, predictor.encode({"text": "seven"}), rtol=0, atol=0)


def test_a_missing_plugin_is_named_with_its_distribution(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((copied / "manifest.json").read_text("utf-8"))
    manifest["plugins"]["scratch"] = {"distribution": "fusion-small", "version": "4.2"}
    (copied / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    monkeypatch.setenv("FUSION_BLOCK", "scratch")
    with pytest.raises(PluginError, match=r"(?s)scratch-image.*trained with.*scratch \(fusion-small 4\.2\)"):
        load(copied)
