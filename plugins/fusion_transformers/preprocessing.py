"""Find what turns images and sounds into the inputs of a model."""

from typing import Any

from transformers import AutoFeatureExtractor, AutoImageProcessor

from fusion_transformers.configuration import Described, short
from fusion_transformers.weights import quiet


def preprocessor_of(described: Described, kind: type[AutoFeatureExtractor | AutoImageProcessor]) -> Any:
    """Return the image processor or feature extractor of a model; None where random weights have none.

    Raises ValueError when a pretrained model has none.
    """
    if described.repository is None:
        return None
    folder = described.repository.folder
    try:
        with quiet():
            return kind.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # of a dozen types, by what is missing
        if described.weights == "random":
            return None
        name = kind.__name__.removeprefix("Auto")
        raise ValueError(
            f"{folder} holds no {name} that can be read ({short(error)}); {described.repository.remedy}"
        ) from error
