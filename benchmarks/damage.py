"""Damage a checkpoint: each flipped bit and each truncation has to be refused, and the one before be taken.

    python benchmarks/damage.py [flips] [truncations] [seed]

Two checkpoints of a small bind_digits; the newer one is damaged at random places of each of its four files in
turn. Exit code 1 when it is not refused, or not the one before is taken.
"""

import random
import sys
import tempfile
from pathlib import Path

from fusion import Registry, read_recipe, train
from fusion.training.checkpoint import all_in, latest

SMALL = [
    *(f"encoders.{name}.dim=16" for name in ("image", "text", "audio")),
    "train={steps: 4, batch: 12, checkpoint_every: 2}",
    "evaluate={sources: {}}",
]


def refused(folder: Path, file: Path, content: bytes) -> bool:
    """Return whether a checkpoint with this content in a file is refused, and the one before taken."""
    whole = file.read_bytes()
    file.write_bytes(content)
    found, damaged = latest(folder)
    file.write_bytes(whole)
    return found is not None and found.step == 2 and len(damaged) == 1


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def main(flips: int = 1000, truncations: int = 100, seed: int = 0) -> None:
    chance = random.Random(seed)
    registry = Registry()
    with tempfile.TemporaryDirectory() as temporary:
        recipe = read_recipe("bind_digits", SMALL, registry)
        folder = train(recipe, Path(temporary) / "run", registry=registry).checkpoints
        newest, *_ = all_in(folder)
        files = sorted(newest.iterdir())
        sizes = ", ".join(f"{file.name} {file.stat().st_size:,} bytes" for file in files)
        kept = {"bits flipped": 0, "truncations": 0}
        for number in range(flips):
            file = files[number % len(files)]
            content = file.read_bytes()
            kept["bits flipped"] += refused(
                folder, file, flipped(content, chance.randrange(8 * len(content)))
            )
        for number in range(truncations):
            file = files[number % len(files)]
            content = file.read_bytes()
            kept["truncations"] += refused(folder, file, content[: chance.randrange(len(content))])
        found, damaged = latest(folder)
        assert found is not None
        assert (found.step, damaged) == (4, [])
    print(sizes)
    for (what, count), tried in zip(kept.items(), (flips, truncations), strict=True):
        print(f"{what}: {count} of {tried} refused, and the checkpoint before taken")
    sys.exit(list(kept.values()) != [flips, truncations])


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
