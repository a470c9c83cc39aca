"""Typos."""

from typing import Any

import numpy as np

from fusion.data import decode

KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # each row lies half a key to the right of the one above


def keyboard(raw: Any, severity: int, rng: np.random.Generator) -> str:
    """Mistype 5, 10, 15, 20 or 30 % of the letters a to z: a key beside the right one (QWERTY) was hit.

    After Belinkov & Bisk 2018.
    """
    letters = list(decode.text(raw))
    hit = rng.random(len(letters)) < (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    which = rng.random(len(letters))
    for place in np.flatnonzero(hit):
        near = keys_beside(letters[place])
        if near:
            letters[place] = near[int(which[place] * len(near))]
    return "".join(letters)


def keys_beside(letter: str) -> str:
    """Return the letters on the keys beside that of a letter, as capital as it is."""
    small = letter.lower()
    for row, keys in enumerate(KEYS):
        place = keys.find(small) if len(small) == 1 else -1
        if place >= 0:
            near = keys[max(0, place - 1) : place] + keys[place + 1 : place + 2]
            if row > 0:
                near += KEYS[row - 1][place : place + 2]
            if row < len(KEYS) - 1:
                near += KEYS[row + 1][max(0, place - 1) : place + 1]
            return near.upper() if letter != small else near
    return ""
