"""Read numbers: arrays, nested lists, and files of numpy."""

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from fusion.data.media import reading
from fusion.errors import DataError

MAX_NUMBERS = 50_000_000


def numbers(raw: Any, what: str) -> npt.NDArray[np.float32]:
    """Return an array of one or two axes, of an array, nested lists, or a .npy file: a path or its bytes.

    `what` is said in messages, such as "series". Raises DataError for anything else, and for numbers that
    fp32 does not hold; NaN and infinity are left in.
    """
    if isinstance(raw, str | bytes) or hasattr(raw, "__fspath__"):
        with reading(what, raw) as file:
            array = _of_file(file)
    else:
        try:
            array = np.asarray(raw)
        except (TypeError, ValueError, RuntimeError) as error:  # a ragged list, a tensor on a GPU
            raise DataError(f"{what} expected as numbers: {error}") from error
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or not array.size:
        raise DataError(
            f"{what} expected as numbers of one or two axes, not {array.dtype} of shape {array.shape}"
        )
    _expect_few(array.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        found = array.astype(np.float32)
    if (np.isinf(found) & np.isfinite(array)).any():
        raise DataError(f"{what} with a number that fp32 does not hold, {float(np.nanmax(np.abs(array))):g}")
    return found


def _of_file(file: Any) -> npt.NDArray[Any]:
    """Return the array of a .npy file, whose header is looked at before there is room made for it."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, _ = read(file)
    _expect_few(shape)
    file.seek(0)
    array: npt.NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array


def _expect_few(shape: tuple[int, ...]) -> None:
    if prod(shape) > MAX_NUMBERS:
        raise DataError(f"{prod(shape):,} numbers in a sample; at most {MAX_NUMBERS:,} are read")
