"""Find the folder that holds a model: one on this machine, or a repository of the Hugging Face hub."""

from pathlib import Path
from typing import NamedTuple

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HFValidationError

DESCRIPTIONS = ("*.json", "*.txt", "*.model", "*.tiktoken")  # configuration, tokenizer, preprocessing
TENSORS = ("model.safetensors", "model-*.safetensors")
PICKLES = ("pytorch_model.bin", "pytorch_model-*.bin")


class Repository(NamedTuple):
    """A folder with a model, by the name under which it was asked for."""

    name: str
    folder: Path
    revision: str | None = None  # the commit, of a repository of the hub

    @property
    def remedy(self) -> str:
        """What to do when a file is not there."""
        if self.revision is None:
            return "give a folder with all that belongs to a model"
        return f"run `hf download {self.name} --revision {self.revision}` where there is a network"


def find(name: str, revision: str | None, weights: bool) -> Repository:
    """Return the folder `name`, or a copy of the hub's repository `name`, fetched where it is not here yet.

    Without `weights` only what describes the model is fetched. Raises ValueError that says what to fetch.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"revision is {revision!r}, but the model is the folder {folder}: leave it out")
        return Repository(name, folder.resolve())
    try:
        found = _fetch(name, revision, [*DESCRIPTIONS, *(TENSORS if weights else ())])
        if weights and not any(found.glob("model*.safetensors")):
            found = _fetch(name, revision, [*DESCRIPTIONS, *PICKLES])
    except HFValidationError as error:
        raise ValueError(
            f"there is no folder {name!r}, and no model of the hub is called that; "
            "give a folder or an id like 'org/name'"
        ) from error
    except OSError as error:
        fetch = f"hf download {name}" + (f" --revision {revision}" if revision else "")
        raise ValueError(
            f"the model {name!r} is not on this machine and cannot be fetched from here "
            f"({str(error).splitlines()[0]}); run `{fetch}` where there is a network, or give a local folder"
        ) from error
    return Repository(name, found, found.name)


def _fetch(name: str, revision: str | None, patterns: list[str]) -> Path:
    offline = constants.HF_HUB_OFFLINE
    found = snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=offline)
    return Path(found)
