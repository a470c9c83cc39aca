"""Damage all frames of a film as the core damages pictures."""

from functools import partial
from typing import Any

import numpy as np

from fusion import Component
from fusion_video.film import Change, Film, film, seed


def as_pictures(raw: Any, kind: str, severity: int, rng: np.random.Generator, *, alike: bool = False) -> Film:
    """Return a film whose frames have a corruption of pictures, with draws `alike` or one after the other."""
    name = kind.replace("-", "_")
    damage = Component(kind, f"fusion.corruptions.image.{name}:{name}").resolve()
    return film(raw).changed(Change(partial(_damaged, damage, severity), seed(rng), alike))


def _damaged(damage: Any, severity: int, frame: Any, rng: np.random.Generator) -> Any:
    return damage(frame, severity, rng)
