"""A run as a model of sentence-transformers: texts and pictures in, vectors of the shared space out."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.errors import RunError
from fusion.hub.fetch import opened
from fusion.run import Run

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def to_sentence_transformers(run: str | Path | Run, device: str | None = None) -> "SentenceTransformer":
    """Return a SentenceTransformer that encodes texts and pictures as the run does.

    `encode(["a dog", "a cat"])` and `encode([picture])` give vectors of unit length, (r, w), in the shared
    space. A str is a text, never a path; a picture is one of PIL, or an array. It is saved as the run is, so
    `SentenceTransformer(FOLDER, trust_remote_code=True)` needs fusion, too. Raises RunError for a run with
    neither texts nor pictures, and where sentence-transformers is not installed.
    """
    if find_spec("sentence_transformers") is None:
        raise RunError("this needs sentence-transformers: pip install 'fusion-bind[sentence-transformers]'")
    from sentence_transformers import SentenceTransformer

    from fusion.hub.module import BOTH, Encode

    run = opened(run)
    if not {*BOTH} & {*run.recipe.modalities}:
        has = ", ".join(run.recipe.modalities)
        raise RunError(f"{run.folder} has {has}; texts or pictures are needed")
    return SentenceTransformer(modules=[Encode(run, device)], device=device)
