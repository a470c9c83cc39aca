"""What one request may ask for, and how many may ask at once."""

from typing import NamedTuple

from fusion.gate import CHARACTERS


class Limits(NamedTuple):
    """The limits of a server. In the worst case `queue` bodies are in memory at once."""

    body: int = 8 * 2**20  # bytes
    rows: int = 64  # of a request
    characters: int = CHARACTERS  # of a text
    seconds: float = 30.0  # from the first byte of a request to its answer
    queue: int = 256  # requests at once, and rows that wait
