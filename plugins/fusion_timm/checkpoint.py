"""Find what a timm model is made of: its architecture, its configuration and the file of its weights."""

import dataclasses
import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from timm.models import PretrainedCfg

from fusion_timm.pretrained import file_of, origin, refuse

HUB, FOLDER = "hf-hub:", "local-dir:"
CONFIG = "config.json"
SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
PREFERRED = (SAFE, PICKLED, "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
PLACES = ("url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "custom_load")
NOT_OF_MODELS = {  # what timm.create_model takes for itself, or what changes more than the model
    *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "checkpoint_path"),
    *("cache_dir", "scriptable", "exportable", "no_jit", "features_only", "model_name"),
}
LABELS = ("label_names", "label_descriptions")


class Checkpoint(NamedTuple):
    """An architecture of timm, and the weights for it if there are any."""

    architecture: str
    config: dict[str, Any]  # timm's pretrained_cfg, without where its weights are
    arguments: dict[str, Any]  # what the architecture is called with, beside what `config` says
    weights: Path | None = None
    origin: Mapping[str, str] = {}


def find(model: str, pretrained: bool | str | None, revision: str | None) -> Checkpoint:
    """Return what the options of an encoder mean. Raises ValueError that says what to give instead."""
    architecture, _ = timm.models.split_model_name_tag(model)
    folder = Path(model.removeprefix(FOLDER)).expanduser()
    if model.startswith(HUB):
        return _on_hub(model.removeprefix(HUB), pretrained, revision)
    if timm.is_model(architecture):
        return _registered(model, pretrained, revision)
    if model.startswith(FOLDER) or folder.is_dir():
        refuse(revision, model)
        checkpoint = read(folder)
        return _with(checkpoint, file_of(folder if pretrained is True else pretrained, PREFERRED), model)
    close = get_close_matches(architecture, timm.list_models(), 3)
    hint = f"did you mean {', '.join(close)}?" if close else "timm.list_models() names them all."
    raise ValueError(
        f"timm has no model {model!r}; {hint} A model on the Hub is hf-hub:ORG/NAME, a folder holds {CONFIG}"
    )


def read(folder: Path) -> Checkpoint:
    """Return what config.json of a folder says, in the layout of timm's models on the Hub."""
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(f"there is no {path}; a timm model in a folder is {CONFIG} and {SAFE}")
    try:
        said = json.loads(path.read_text("utf-8"))
        architecture, own = said["architecture"], said.get("pretrained_cfg", said)
        own = own | {key: said[key] for key in ("num_classes",) if key in said}
        arguments = dict(said.get("model_args", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not the configuration of a timm model: {error!r}") from error
    foreign = sorted(NOT_OF_MODELS & arguments.keys())
    if foreign:
        raise ValueError(
            f"{path}: model_args has {', '.join(foreign)}, which is not for the file to say; take it out"
        )
    if not timm.is_model(architecture):
        raise ValueError(f"{path}: timm {timm.__version__} has no model {architecture!r}")
    known = {field.name for field in dataclasses.fields(PretrainedCfg)}
    return Checkpoint(architecture, _plain({key: own[key] for key in own if key in known}), arguments)


def write(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the config.json that `read` reads."""
    said = {
        "architecture": checkpoint.architecture,
        "pretrained_cfg": checkpoint.config,
        "model_args": checkpoint.arguments,
    }
    (folder / CONFIG).write_text(json.dumps(said, indent=2) + "\n", "utf-8")


def _registered(model: str, pretrained: bool | str | None, revision: str | None) -> Checkpoint:
    architecture, _ = timm.models.split_model_name_tag(model)
    tags = ", ".join(timm.list_models(f"{architecture}.*", pretrained=True)) or "none"
    try:
        found = timm.get_pretrained_cfg(model) or PretrainedCfg(architecture=architecture)
    except RuntimeError as error:
        raise ValueError(f"timm has no weights {model!r}; it has: {tags}") from error
    checkpoint = Checkpoint(architecture, _plain(found.to_dict()), {})
    if pretrained is not True:
        refuse(revision, "a file" if pretrained else "random weights")
        return _with(checkpoint, file_of(pretrained, PREFERRED), f"{architecture}:{pretrained}")
    name = f"{architecture}.{found.tag}" if found.tag else architecture
    if found.hf_hub_id:
        weights = _download(found.hf_hub_id, found.hf_hub_filename or PICKLED, revision)
    elif found.url:
        refuse(revision, f"{name}, whose weights are at {found.url},")
        weights = _fetch(found.url, name)
    else:
        raise ValueError(
            f"timm has no weights for {model}; it has: {tags}. Set pretrained to the path of a weights file, "
            "or to false for random ones"
        )
    return _with(checkpoint, weights, name)


def _on_hub(name: str, pretrained: bool | str | None, revision: str | None) -> Checkpoint:
    repository, _, at = name.partition("@")
    if at and revision:
        raise ValueError(f"model says revision {at} and revision says {revision}; give one of them")
    revision = revision or at or None
    checkpoint = read(_download(repository, CONFIG, revision).parent)
    meant = _download(repository, PICKLED, revision) if pretrained is True else pretrained
    return _with(checkpoint, file_of(meant, PREFERRED), f"{HUB}{repository}")


def _download(repository: str, filename: str, revision: str | None) -> Path:
    """Return a file of a repository on the Hub, from the cache if it is there; safetensors come first."""
    safe = filename.replace("pytorch_", "").replace(".bin", ".safetensors")  # as timm names them
    for name in dict.fromkeys([safe, filename]):
        try:
            return Path(hf_hub_download(repository, name, revision=revision))
        except (OSError, ValueError, EntryNotFoundError) as error:
            reason = error
    at = f" --revision {revision}" if revision else ""
    raise ValueError(
        f"cannot find {filename} of {repository}, in the cache or on the Hub; fetch it with "
        f"`hf download {repository}{at}` where there is a network, or give a local file or folder"
    ) from reason


def _fetch(url: str, name: str) -> Path:
    """Return a file from where its authors keep it, from torch's cache if it is there, as timm does it."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    try:
        if not path.is_file():
            if constants.HF_HUB_OFFLINE:
                raise FileNotFoundError("HF_HUB_OFFLINE is set")
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), progress=False)
    except OSError as error:
        raise ValueError(
            f"cannot find the weights of {name}, as {path} or at {url}; fetch that file and give "
            "pretrained: PATH"
        ) from error
    return path


def _with(checkpoint: Checkpoint, weights: Path | None, name: str) -> Checkpoint:
    return checkpoint._replace(weights=weights, origin=origin(weights, name))


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    drop = {*PLACES, *LABELS}
    return {key: value for key, value in config.items() if key not in drop and value is not None}
