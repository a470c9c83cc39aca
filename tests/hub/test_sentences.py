"""A run as a model of sentence-transformers encodes as the run itself does."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from fusion_digits.source import Digits
from PIL import Image
from sentence_transformers import SentenceTransformer

from fusion import Run, RunError, load
from fusion.hub.sentences import to_sentence_transformers

TEXTS = ["one", "a much longer text that says seven", "x"]


def test_texts_and_pictures_lie_where_the_run_puts_them(run: Run, tmp_path: Path) -> None:
    source = Digits(split="test")
    pictures = [Image.fromarray(source[row]["image"]) for row in range(3)]
    model, own = to_sentence_transformers(run, "cpu"), load(run, "cpu")
    texts = own.encode([{"text": text} for text in TEXTS]).vectors["text"]
    images = own.encode([{"image": picture} for picture in pictures]).vectors["image"]
    np.testing.assert_allclose(model.encode(TEXTS), texts, atol=1e-6)
    np.testing.assert_allclose(model.encode(pictures), images, atol=1e-6)
    np.testing.assert_allclose(model.similarity(model.encode(TEXTS), images), texts @ images.T, atol=1e-5)
    assert not np.allclose(texts[0], texts[1])

    model.save(str(tmp_path / "saved"))
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu", trust_remote_code=True)
    np.testing.assert_allclose(again.encode(TEXTS), texts, atol=1e-6)
    with pytest.raises(ValueError, match="trust_remote_code"):  # a class that is not theirs
        SentenceTransformer(str(tmp_path / "saved"), device="cpu")


def test_a_run_with_neither_is_refused(run: Run) -> None:
    recipe = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    recipe["encoders"] = {"audio": recipe["encoders"]["audio"]}
    recipe["augment"] = {}
    recipe["objectives"] = {"digit": recipe["objectives"]["digit"]}
    recipe["evaluate"] |= {"zero_shot": None}
    (run.folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    with pytest.raises(RunError, match="has audio; texts or pictures are needed"):
        to_sentence_transformers(Run(run.folder))


def test_the_library_is_named_where_it_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusion.hub.sentences.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"pip install 'fusion-bind\[sentence-transformers\]'"):
        to_sentence_transformers(run)
