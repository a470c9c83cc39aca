"""Letters that look like others."""

from typing import Any

import numpy as np

from fusion.data import decode

PLAIN = "aceijopsxyABCEHIJKMOPSTXYZ"
ALIKE = (  # Cyrillic, and of Greek the last two
    "\u0430\u0441\u0435\u0456\u0458\u043e\u0440\u0455\u0445\u0443"
    "\u0410\u0412\u0421\u0415\u041d\u0406\u0408\u041a\u041c\u041e"
    "\u0420\u0405\u0422\u0425\u03a5\u0396"
)
HOMOGLYPHS = dict(zip(PLAIN, ALIKE, strict=True))


def homoglyphs(raw: Any, severity: int, rng: np.random.Generator) -> str:
    """Exchange 10, 25, 50, 75 or 100 % of the letters that have a twin for it: Cyrillic that looks the same.

    After Boucher et al. 2022, "Bad Characters".
    """
    letters = list(decode.text(raw))
    hit = rng.random(len(letters)) < (0.1, 0.25, 0.5, 0.75, 1.0)[severity - 1]
    for place in np.flatnonzero(hit):
        letters[place] = HOMOGLYPHS.get(letters[place], letters[place])
    return "".join(letters)
