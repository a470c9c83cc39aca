"""Equal samples have equal fingerprints, in every process, and different ones do not."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusion.data.fingerprint import fingerprint

SAMPLES: dict[str, Any] = {
    "text": "ein Bär",
    "path": Path("photos/1.png"),
    "path with a stray byte": os.fsdecode(b"photos/\xff.png"),
    "bytes": b"\x00\xff",
    "pixels": np.arange(12, dtype=np.uint8).reshape(2, 2, 3),
    "other shape": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "other type": np.arange(12, dtype=np.int16).reshape(3, 4),
    "strided": np.arange(24, dtype=np.uint8)[::2],
    "sound": (np.arange(3, dtype=np.float32), 8000),
    "other rate": (np.arange(3, dtype=np.float32), 16000),
    "two channels": (np.arange(4, dtype=np.float32).reshape(2, 2), 8000),
    "other channels": (np.arange(4, dtype=np.float32).reshape(4, 1), 8000),
}


def test_different_samples_have_different_fingerprints() -> None:
    prints = [fingerprint(sample) for sample in SAMPLES.values()]
    assert len(set(prints)) == len(SAMPLES) == 12
    assert 0 not in prints
    assert all(-(2**63) <= number < 2**63 for number in prints)


def test_equal_samples_have_equal_fingerprints() -> None:
    assert fingerprint(np.arange(24)[::2]) == fingerprint(np.arange(24)[::2].copy())
    assert fingerprint((np.ones(3), 8000)) == fingerprint((np.ones(3), np.int64(8000)))
    assert fingerprint(Path("a/b.png")) == fingerprint("a/b.png")


@pytest.mark.parametrize("raw", [object(), [1, 2], np.array([object()]), (np.array(["a", 1], object), 8000)])
def test_what_cannot_be_compared_across_processes_has_no_fingerprint(raw: Any) -> None:
    assert fingerprint(raw) == 0


def test_fingerprints_are_the_same_in_another_process() -> None:
    script = (
        "import numpy as np\nfrom pathlib import Path\nfrom fusion.data.fingerprint import fingerprint\n"
        "for raw in ['a', b'a', Path('b'), np.ones(3), (np.ones(3), 8000)]: print(fingerprint(raw))"
    )
    outputs = []
    for hash_seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
        )
        outputs.append([int(line) for line in run.stdout.split()])
    here = [fingerprint(raw) for raw in ("a", b"a", Path("b"), np.ones(3), (np.ones(3), 8000))]
    assert outputs == [here, here]
