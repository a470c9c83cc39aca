"""A recipe that is good, others with one mistake, and what is said of them."""

import re
from pathlib import Path
from typing import Any

import pytest

from fusion import RecipeError, Registry, read_recipe
from fusion.recipe.text import parse

ACCUMULATED = (
    "adding up the gradients of small batches is no large batch: a contrastive loss would compare each row "
    "with those of its small batch only; give all rows of a step as train.batch, and as train.micro_batch "
    "how many are encoded at once, which has the gradient of the whole batch"
)


GOOD = """\
sources:
  seen: {name: digits, view: image-text, weight: 2}
  heard: {name: digits, view: audio-text}
encoders:
  image: {name: scratch-image}
  text: {name: scratch-text}
  audio: {name: scratch-audio}
width: 16
fuser: {name: attend, heads: 2}
objectives:
  align: {name: contrastive, hub: text}
classes: [zero, one]
train: {steps: 30, batch: 8}
"""


def problems(path: Path, registry: Registry, *overrides: str) -> list[str]:
    """Return the lines of the error that a recipe raises, without its folder."""
    with pytest.raises(RecipeError, match=re.escape(path.name)) as caught:
        read_recipe(path, overrides, registry)
    return str(caught.value).replace(f"{path.parent}/", "").split("\n")


def base(**changes: Any) -> dict[str, Any]:
    """Return the good recipe as plain data."""
    return parse(GOOD)[0] | changes
