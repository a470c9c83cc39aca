"""What encoders on weights of others share: which file is meant, where it comes from, its statistics."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from torch import nn

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")


def file_of(pretrained: Path | bool | str | None, preferred: Sequence[str]) -> Path | None:
    """Return the weights file that is meant; None for random weights.

    In a folder it is the first of the `preferred` names, or the only one there is. Raises ValueError.
    """
    if not pretrained:
        return None
    path = Path(str(pretrained)).expanduser()
    if path.is_dir():
        return _only(path, preferred)
    if not path.is_file():
        raise ValueError(
            f"pretrained: there is no file {pretrained!r}; give a weights file, true for the model's own "
            "weights, or false for random ones"
        )
    return path


def origin(weights: Path | None, model: str) -> dict[str, str]:
    """Return where weights come from, as a manifest keeps it; nothing for random ones."""
    if weights is None:
        return {}
    found = {"model": model}
    if weights.parent.parent.name == "snapshots":  # the Hub's cache: snapshots/COMMIT/FILE
        found["revision"] = weights.parent.name
    with weights.open("rb") as file:
        found["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def refuse(revision: str | None, what: str) -> None:
    """Raise ValueError for a revision of what has none."""
    if revision:
        raise ValueError(f"revision is {revision!r}, but {what} has none; only models on the Hub do")


def hold_statistics(model: nn.Module) -> None:
    """Keep batch normalisation at its pretrained statistics, in training too.

    In training mode a row would depend on the others of its batch, and processes would come to differ.
    """
    for module in model.modules():
        if "running_var" in dict(module.named_buffers(recurse=False)):
            module.eval()


def first(error: Exception) -> str:
    """Return the start of what an error of a library says, on one line."""
    return " ".join(str(error).split())[:300] or repr(error)


def _only(folder: Path, preferred: Sequence[str]) -> Path:
    for name in preferred:
        if (folder / name).is_file():
            return folder / name
    found = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES)
    if len(found) == 1:
        return found[0]
    holds = f"holds {', '.join(path.name for path in found)}" if found else "holds no weights"
    raise ValueError(f"{folder} {holds}; say which file with pretrained: PATH, or pretrained: false for none")
