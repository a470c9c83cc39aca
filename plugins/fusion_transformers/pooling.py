"""From the tokens of a sample to its one vector."""

import json
from pathlib import Path

from torch import Tensor

SENTENCES = Path("1_Pooling") / "config.json"  # where sentence-transformers keeps how a model is pooled
MODES = {
    "output": "output",
    "cls": "cls",
    "mean": "mean",
    "last": "last",
    "lasttoken": "last",
    "pooling_mode_cls_token": "cls",  # a name  # nosec B105
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
}


def first(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the first token, (n, d)."""
    return tokens[:, 0]


def mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the real tokens, (n, d)."""
    real = mask[..., None].to(tokens.dtype)
    return (tokens * real).sum(1) / real.sum(1)


def last(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the last real token, (n, d), of rows that are padded at their end."""
    places = (mask.sum(1) - 1)[:, None, None].expand(-1, 1, tokens.shape[2])
    return tokens.gather(1, places).squeeze(1)


POOLINGS = {"cls": first, "mean": mean, "last": last}


def read_pooling(folder: Path | None) -> str | None:
    """Return how a model is to be pooled, as sentence-transformers keeps it; None where nothing says.

    Raises ValueError for a way that is not ours.
    """
    if folder is None or not (folder / SENTENCES).is_file():
        return None
    kept = json.loads((folder / SENTENCES).read_text())
    said = [name for name, on in kept.items() if name.startswith("pooling_mode_") and on is True]
    modes = kept.get("pooling_mode", said)
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) != 1 or modes[0] not in MODES:
        raise ValueError(
            f"{folder / SENTENCES} asks for pooling by {' and '.join(modes) or 'nothing'}; "
            "give pooling: cls, mean, last or output"
        )
    return MODES[modes[0]]


def write_pooling(folder: Path, pooling: str) -> None:
    """Write how a model is pooled so that `read_pooling` finds it."""
    (folder / SENTENCES).parent.mkdir(exist_ok=True)
    (folder / SENTENCES).write_text(json.dumps({"pooling_mode": pooling}))
