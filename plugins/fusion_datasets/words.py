"""Say what is wrong with a name, and what was probably meant."""

import difflib
from collections.abc import Iterable

SHOWN = 20  # names that a message lists


def unknown(what: str, given: object, known: Iterable[object]) -> str:
    """Say that a name is unknown, which one was probably meant, and which ones there are."""
    names = [str(name) for name in known]
    close = difflib.get_close_matches(str(given), names, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ";"
    return f"unknown {what} {given!r}{meant} known: {listed(names)}"


def listed(names: Iterable[object]) -> str:
    """Return names as one string; of very many, the first."""
    words = [str(name) for name in names]
    more = f" and {len(words) - SHOWN:,} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more if words else "none"


def cause(error: BaseException) -> str:
    """Return in one line what an error of a library says, down at its cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    said = str(error).strip() or repr(error)
    return said.splitlines()[0][:300]
