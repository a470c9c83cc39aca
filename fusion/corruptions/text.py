"""Damage a text, in five severities; nothing leaves it empty."""

from typing import Any

import numpy as np

from fusion.data import decode

KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # each row lies half a key to the right of the one above
PLAIN = "aceijopsxyABCEHIJKMOPSTXYZ"
ALIKE = (  # Cyrillic, and of Greek the last two
    "\u0430\u0441\u0435\u0456\u0458\u043e\u0440\u0455\u0445\u0443"
    "\u0410\u0412\u0421\u0415\u041d\u0406\u0408\u041a\u041c\u041e"
    "\u0420\u0405\u0422\u0425\u03a5\u0396"
)
HOMOGLYPHS = dict(zip(PLAIN, ALIKE, strict=True))


def keyboard(raw: Any, severity: int, rng: np.random.Generator) -> str:
    """Mistype 5, 10, 15, 20 or 30 % of the letters a to z: a key beside the right one (QWERTY) was hit.

    After Belinkov & Bisk 2018.
    """
    letters = list(decode.text(raw))
    hit = rng.random(len(letters)) < (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    which = rng.random(len(letters))
    for place in np.flatnonzero(hit):
        near = _beside(letters[place])
        if near:
            letters[place] = near[int(which[place] * len(near))]
    return "".join(letters)


def case(raw: Any, severity: int, rng: np.random.Generator) -> str:
    """Turn 20, 40, 60, 80 or all of 100 % of the letters from small to capital, or back."""
    letters = list(decode.text(raw))
    hit = rng.random(len(letters)) < 0.2 * severity
    return "".join(one.swapcase() if turned else one for one, turned in zip(letters, hit, strict=True))


def truncation(raw: Any, severity: int, rng: np.random.Generator) -> str:
    """Keep the first 80, 65, 50, 35 or 20 % of the characters, rounded up."""
    text = decode.text(raw)
    kept = (80, 65, 50, 35, 20)[severity - 1]
    return text[: -(-len(text) * kept // 100)].rstrip()


def word_drop(raw: Any, severity: int, rng: np.random.Generator) -> str:
    """Lose each word with probability 10, 20, 30, 40 or 50 %, but never all of them."""
    words = decode.text(raw).split()
    draws = rng.random(len(words))
    kept = draws >= min(0.1 * severity, draws.max())
    return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)


def homoglyphs(raw: Any, severity: int, rng: np.random.Generator) -> str:
    """Exchange 10, 25, 50, 75 or 100 % of the letters that have a twin for it: Cyrillic that looks the same.

    After Boucher et al. 2022, "Bad Characters".
    """
    letters = list(decode.text(raw))
    hit = rng.random(len(letters)) < (0.1, 0.25, 0.5, 0.75, 1.0)[severity - 1]
    for place in np.flatnonzero(hit):
        letters[place] = HOMOGLYPHS.get(letters[place], letters[place])
    return "".join(letters)


def _beside(letter: str) -> str:
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
