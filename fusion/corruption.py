"""What a corruption is: a function (raw sample, severity, generator) -> damaged sample; in evaluation."""

from collections.abc import Callable
from typing import Any

import numpy as np

SEVERITIES = (1, 2, 3, 4, 5)
"""As of Hendrycks & Dietterich 2019: from hardly noticed to hardly readable, each worse than the last."""

Corruption = Callable[[Any, int, np.random.Generator], Any]
"""Damages a raw sample and returns it in any form that `fusion.decode` reads; the one given stays as it is.

It runs in loader workers, before the encoder's processor, and has to be picklable. Every draw comes from the
generator, which is seeded by (seed, source, row, kind) and is the same at every severity. Raises
fusion.DataError when the sample cannot be read.
"""
