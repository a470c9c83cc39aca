"""Corrupt a row by an amount that leaves each modality ambiguous, so that fusing them pays.

HISS and TYPOS are set so that one `amount` makes the three about equally hard: at 0.5 a simple classifier
of each modality alone (SVM on pixels, logistic regression on log-mel or on letter n-grams) is right about
seven times in ten. 0 leaves a row as it is.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

HISS = 8.0  # audio noise at amount 1, in units of the clip's root mean square
TYPOS = 0.8  # share of characters that are replaced at amount 1
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def smear(pixels: NDArray[np.uint8], amount: float, draw: Generator) -> NDArray[np.uint8]:
    """Add Gaussian noise with a standard deviation of `amount` times the full range, then clip to 0..255."""
    noisy = pixels + draw.normal(0.0, 255 * amount, pixels.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def hiss(waveform: NDArray[np.float32], amount: float, draw: Generator) -> NDArray[np.float32]:
    """Add white noise of `HISS * amount` times the clip's root mean square; scale down what would clip."""
    loudness = float(np.sqrt(np.mean(np.square(waveform))))
    noisy = waveform + draw.normal(0.0, HISS * amount * loudness, waveform.shape)
    return (noisy / max(1.0, float(np.abs(noisy).max()))).astype(np.float32)


def mistype(text: str, amount: float, draw: Generator) -> str:
    """Replace each character by a random letter with probability `min(1, TYPOS * amount)`."""
    hit = draw.random(len(text)) < TYPOS * amount
    letters = draw.integers(len(LETTERS), size=len(text))
    return "".join(
        LETTERS[letter] if struck else kept for kept, struck, letter in zip(text, hit, letters, strict=True)
    )
