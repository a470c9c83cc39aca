"""Vary a text: the sentence around it, its letters, its words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fusion.augmentation import Augmentation
from fusion.data import decode

Share = Annotated[float, Field(ge=0, le=1)]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class TextTemplate(Augmentation):
    """Put the text into one of several sentences, such as "a photo of {}", at random.

    CLIP averages over such sentences when it is tested (Radford et al. 2021, section 3.1.4). List "{}"
    among them to leave some texts as they are.
    """

    templates: Annotated[list[str], Field(min_length=1)]

    def __post_init__(self) -> None:
        for template in self.templates:
            if "{}" not in template:
                raise ValueError(f"the template {template!r} has no {{}}, where the text goes")

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> str:
        text = decode.text(raw)
        return self.templates[rng.integers(len(self.templates))].replace("{}", text)


@dataclass(frozen=True, kw_only=True)
class TextTypo(Augmentation):
    """Mistype: a random share of the characters, up to `strength`, become letters from a to z."""

    strength: Share = 0.1

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> str:
        letters = list(decode.text(raw))
        hit = np.flatnonzero(rng.random(len(letters)) < rng.uniform(0, self.strength))
        for place, letter in zip(hit, rng.integers(len(LETTERS), size=len(hit)), strict=True):
            letters[place] = LETTERS[letter]
        return "".join(letters)


@dataclass(frozen=True, kw_only=True)
class TextDropout(Augmentation):
    """Leave out each word with probability `strength`, but never all of them (Iyyer et al. 2015, section 3).

    Words are what white space parts.
    """

    strength: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> str:
        text = decode.text(raw)
        words = text.split()
        draws = rng.random(len(words))
        kept = draws >= min(self.strength, draws.max())  # the word with the largest draw always stays
        if kept.all():
            return text
        return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)
