"""Read the weights of a checkpoint, safely, and put them into a model of the library."""

import hashlib
import json
import pickle
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from fusion_transformers.repository import Repository

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"


class Checkpoint:
    """The tensors of a checkpoint, read once for all towers that are built from it."""

    def __init__(self, repository: Repository) -> None:
        files = weight_files(repository)
        self.name = repository.name
        self.sha256 = fingerprint(files)
        self.tensors: dict[str, Tensor] = {}
        for file in files:
            self.tensors |= read(file)
        self._taken: set[int] = set()

    def build(
        self, model: type[PreTrainedModel], config: PretrainedConfig
    ) -> tuple[PreTrainedModel, set[str]]:
        """Return a model with these weights, in fp32, and the names of those that it lacks.

        Weights that an earlier call gave away are copied. Raises ValueError for weights of other shapes.
        """
        with quiet():
            built, found = model.from_pretrained(
                None,
                config=config,
                state_dict=dict(self.tensors),
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # it names them only in a log
            )
        if found["mismatched_keys"]:
            name, given, expected = min(found["mismatched_keys"])
            raise ValueError(
                f"the weights of {self.name!r} do not fit their configuration: "
                f"{name} has shape {tuple(given)}, and {model.__name__} expects {tuple(expected)}"
            )
        for tensor in [*built.parameters(), *built.buffers()]:
            if tensor.data_ptr() in self._taken:
                tensor.data = tensor.data.clone()
            self._taken.add(tensor.data_ptr())
        return built, set(found["missing_keys"])


def weight_files(repository: Repository) -> list[Path]:
    """Return the files that hold the weights: safetensors where there are any, else pickles of tensors."""
    folder = repository.folder
    for name in (SAFE, PICKLED):
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            return [folder / name]
        if index.is_file():
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            for shard in shards:
                if Path(shard).name != shard or not (folder / shard).is_file():
                    raise ValueError(
                        f"{index} names {shard!r}, which is not a file beside it; fetch it again"
                    )
            return [folder / shard for shard in shards]
    raise ValueError(f"{folder} holds no weights ({SAFE} or {PICKLED}); {repository.remedy}")


def fingerprint(files: Iterable[Path]) -> str:
    """Return the SHA-256 of a file; of several, that of what `sha256sum` prints for them."""
    digests = {}
    for path in files:
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    if len(digests) == 1:
        return next(iter(digests.values()))
    listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def read(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file. Nothing in it is run. Raises ValueError for one that cannot be read."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        tensors: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(tensors, dict) or not all(isinstance(one, Tensor) for one in tensors.values()):
            raise RuntimeError(f"it holds a {type(tensors).__name__}, and not tensors by name")
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        said = (str(error) or repr(error)).splitlines()[0]
        raise ValueError(
            f"{file} cannot be read as a file of tensors and nothing else ({said}); "
            "fetch it again, or convert it to safetensors where you trust it"
        ) from error
    return tensors


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library from printing progress bars and tables of weights that are left out on purpose."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="At least one mel filter")  # as AST was trained
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that HF_HUB_DISABLE_PROGRESS_BARS keeps the hub's own off
                logging.enable_progress_bar()
