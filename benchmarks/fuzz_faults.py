"""Faults that `fuzz.py` makes: in bytes, and in trees of values."""

from random import Random
from typing import Any

EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
ODD = (
    "",
    "\0",
    "\ud800",
    "../../x",
    "/etc/passwd",
    "nan",
    "x" * 5000,
    "{}",
    "é\u2028",
    "CON",
    "a\nb",
    "*a",
    "&a",
)


def mutated(random: Random, content: bytes, other: bytes) -> bytes:
    """Return some bytes with one to four faults of the kinds that disks, networks and people make."""
    data = bytearray(content)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(data) + 1)
        if random.random() < 0.5:
            place = min(place, random.randrange(64))  # where headers are
        match random.randrange(6):
            case 0 if place < len(data):
                data[place] ^= 1 << random.randrange(8)
            case 1:
                del data[place:]
            case 2:
                width, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
                data[place : place + width] = (random.choice(EDGES) % 2 ** (8 * width)).to_bytes(width, order)
            case 3:
                start = random.randrange(len(other) + 1)
                data[place : place + random.randrange(64)] = other[start : start + random.randrange(256)]
            case 4:
                data[place:place] = data[place : place + random.randrange(512)] * random.randrange(1, 9)
            case 5:
                data[place : place + random.randrange(16)] = random.randbytes(random.randrange(16))
    return bytes(data)


def tree(random: Random, depth: int = 0) -> Any:
    """Return a value of JSON or of a row, odd ones more often than people have them."""
    match random.randrange(10 if depth < 4 else 7):
        case 0:
            return random.choice((None, True, False))
        case 1:
            return random.choice((-1, 1)) * random.choice(EDGES)
        case 2:
            return random.choice((0.5, -0.0, float("nan"), float("inf"), 1e308))
        case 3 | 4:
            return random.choice(ODD)
        case 5 | 6:
            return "".join(chr(random.randrange(0x110000)) for _ in range(random.randrange(8)))
        case 7 | 8:
            return {str(tree(random, 9)): tree(random, depth + 1) for _ in range(random.randrange(4))}
        case _:
            return [tree(random, depth + 1) for _ in range(random.randrange(4))]


def planted(random: Random, data: Any) -> Any:
    """Return nested data with an odd value in the place of one that is somewhere in it."""
    if not data or not isinstance(data, dict | list) or random.random() < 0.2:
        return tree(random)
    keys = list(data) if isinstance(data, dict) else range(len(data))
    key = random.choice(list(keys))
    copy: Any = dict(data) if isinstance(data, dict) else list(data)
    copy[key] = planted(random, data[key])
    return copy
