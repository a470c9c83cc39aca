"""What tests of encoders on weights of others share: images, encoding, and a cache of the Hub."""

import hashlib
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fusion import Encoder, Encoding

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def photograph() -> Image.Image:
    draw = np.random.default_rng(1)
    return Image.fromarray(draw.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize((300, 200))


def pictures() -> list[Any]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, size, dtype=np.uint8) for size in ((9, 9), (50, 20, 3), (32, 32, 3))]


@torch.no_grad()
def encode(encoder: Encoder, *samples: Any) -> Encoding:
    """Encode raw samples in evaluation."""
    processor = encoder.eval().processor
    return encoder(**processor.collate([processor.decode(raw) for raw in samples]))


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def offline(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let the Hub be out of reach, and its cache be this folder."""
    patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))


def cached(cache: Path, repository: str, commit: str = COMMIT) -> Path:
    """A folder in the cache of the Hub, as a download of `commit`, the head of main, leaves it."""
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text(commit)
    (place / "snapshots" / commit).mkdir(parents=True)
    return place / "snapshots" / commit
