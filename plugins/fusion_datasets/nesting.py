"""Find JSON that is nested so deep that reading it would end the process, and not with an exception."""

import re
from collections.abc import Iterable

import numpy as np

from fusion import DataError

DEEP = 200  # Arrow has no type for more, but at ten thousands its stack ends before it says so
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def expect_flat(paths: Iterable[str]) -> None:
    """Raise DataError for a file of JSON that is nested too deep."""
    for path in paths:
        if _open_too_many(path):
            raise DataError(f"{path!r} is nested more than {DEEP} deep")


def depth(content: bytes) -> int:
    """Return how deep JSON is nested; brackets in its strings do not count."""
    codes = np.frombuffer(STRING.sub(b"", content), np.uint8)
    opened = ((codes == ord("[")) | (codes == ord("{"))).astype(np.int8)
    closed = ((codes == ord("]")) | (codes == ord("}"))).astype(np.int8)
    return int(np.cumsum(opened - closed, dtype=np.int64).max(initial=0))


def _open_too_many(path: str) -> bool:
    """Look closely only at lines that could do it: most are an object each, and hold few brackets."""
    left_open = 0
    with open(path, "rb") as file:
        for line in file:
            brackets = line.count(b"[") + line.count(b"{")
            if brackets > DEEP and depth(line) > DEEP:
                return True
            # two objects that follow one another without a comma are never inside one another
            if not (line.lstrip()[:1] == b"{" and line.rstrip()[-1:] == b"}"):
                left_open += brackets
        if left_open <= DEEP:
            return False
        file.seek(0)
        return depth(file.read()) > DEEP
