"""Find what an open_clip model is made of: its configuration, preprocessing and the file of its weights."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
from fusion_timm.pretrained import file_of, origin, refuse
from open_clip.pretrained import download_pretrained, download_pretrained_from_hf
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

HUB, FOLDER = "hf-hub:", "local-dir:"
CONFIG = "open_clip_config.json"
PREFERRED = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
)
OWN = {path.stem: path for path in (Path(__file__).parent / "architectures").glob("*.json")}


class Tokenizer(NamedTuple):
    """Where a tokenizer of transformers is: a folder, or a repository on the Hub."""

    place: str
    revision: str | None = None


class Checkpoint(NamedTuple):
    """A configuration of open_clip, and the weights for it if there are any."""

    name: str
    config: dict[str, Any]  # open_clip's model_cfg: embed_dim, vision_cfg, text_cfg ...
    preprocessing: dict[str, Any]  # open_clip's preprocess_cfg
    tokenizer: Tokenizer | None  # None: the one that open_clip brings along
    weights: Path | None = None
    origin: Mapping[str, str] = {}


def find(model: str, pretrained: bool | str | None, revision: str | None) -> Checkpoint:
    """Return what the options of an encoder mean. Raises ValueError that says what to give instead."""
    path = Path(model.removeprefix(FOLDER)).expanduser()
    if model.startswith(HUB):
        return _on_hub(model.removeprefix(HUB), pretrained, revision)
    if model in OWN or model in open_clip.list_models():
        return _registered(model, pretrained, revision)
    if path.suffix == ".json" and path.is_file():
        refuse(revision, model)
        if pretrained is True:
            raise ValueError(
                "an architecture has no weights of its own; set pretrained to their path, or to false"
            )
        return _with(read(path, model), file_of(pretrained, PREFERRED), f"{model}:{pretrained}")
    if model.startswith(FOLDER) or path.is_dir():
        refuse(revision, model)
        checkpoint = read(path / CONFIG, model, tokenizer=path)
        return _with(checkpoint, file_of(path if pretrained is True else pretrained, PREFERRED), model)
    close = get_close_matches(model, open_clip.list_models(), 3)
    hint = f"did you mean {', '.join(close)}?" if close else "open_clip.list_models() names them all."
    raise ValueError(
        f"open_clip has no model {model!r}; {hint} A model on the Hub is hf-hub:ORG/NAME, a folder holds "
        f"{CONFIG}, and a file of an architecture ends in .json"
    )


def read(path: Path, name: str, tokenizer: Path | None = None) -> Checkpoint:
    """Return what a configuration file says: an architecture, or open_clip_config.json with preprocessing.

    `tokenizer` is a folder that may hold the tokenizer, which otherwise is on the Hub.
    """
    if not path.is_file():
        raise ValueError(f"there is no {path}; an open_clip model in a folder is {CONFIG} and {PREFERRED[0]}")
    try:
        said = json.loads(path.read_text("utf-8"))
        config = said.get("model_cfg", said)
        named = config["text_cfg"].get("hf_tokenizer_name")
        _ = config["embed_dim"], config["vision_cfg"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not the configuration of an open_clip model: {error!r}") from error
    preprocessing = merge_preprocess_dict(PreprocessCfg(), said.get("preprocess_cfg", {}))
    if named and tokenizer and (tokenizer / "tokenizer_config.json").is_file():
        named = str(tokenizer)
    return Checkpoint(name, config, preprocessing, Tokenizer(named) if named else None)


def _registered(model: str, pretrained: bool | str | None, revision: str | None) -> Checkpoint:
    config = read(OWN[model], model).config if model in OWN else open_clip.get_model_config(model)
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained is True:
        if len(tags) != 1:
            raise ValueError(
                f"which weights of {model}? Set pretrained to one of: {', '.join(tags) or 'none are known'}; "
                "or to the path of a weights file; or to false for random ones"
            )
        pretrained = tags[0]
    tag = open_clip.get_pretrained_cfg(model, pretrained) if pretrained else {}
    # a file has the preprocessing on which all known weights of its architecture agree, if they do
    known = [tag] if tag else [open_clip.get_pretrained_cfg(model, other) for other in tags]
    ways = [merge_preprocess_dict(PreprocessCfg(), cfg) for cfg in known]
    preprocessing = ways[0] if ways and ways.count(ways[0]) == len(ways) else asdict(PreprocessCfg())
    # weights say which activation they were trained with; for ViT-B-32 and openai, open_clip only warns
    config["quick_gelu"] = _quick(config) or _quick(tag)
    named = config["text_cfg"].get("hf_tokenizer_name")
    checkpoint = Checkpoint(model, config, preprocessing, Tokenizer(named) if named else None)
    if tag:
        return _with(checkpoint, _tagged(tag, revision), f"{model}:{pretrained}")
    refuse(revision, "a file" if pretrained else "an architecture with random weights")
    if pretrained and not Path(pretrained).expanduser().exists():
        close = get_close_matches(pretrained, tags, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(
            f"pretrained is {pretrained!r}, which is neither a file nor weights of {model}; {hint}known: "
            f"{', '.join(tags) or 'none'}"
        )
    weights = file_of(pretrained, PREFERRED)
    beside = weights.parent / CONFIG if weights else None
    if beside and beside.is_file() and _quick(read(beside, model).config) != _quick(config):
        raise ValueError(
            f"{beside} and {model} differ in quick_gelu, so that {model} would compute something else with "
            f"these weights; give the folder: model: {beside.parent}"
        )
    return _with(checkpoint, weights, f"{model}:{pretrained}")


def _quick(config: Mapping[str, Any]) -> bool:
    return bool(config.get("quick_gelu", False))


def _on_hub(name: str, pretrained: bool | str | None, revision: str | None) -> Checkpoint:
    config = _download(name, CONFIG, revision)
    checkpoint = read(config, f"{HUB}{name}")
    if checkpoint.tokenizer == Tokenizer(name):
        checkpoint = checkpoint._replace(tokenizer=Tokenizer(name, revision))
    meant = _download(name, None, revision) if pretrained is True else pretrained
    return _with(checkpoint, file_of(meant, PREFERRED), f"{HUB}{name}")


def _tagged(tag: Mapping[str, Any], revision: str | None) -> Path:
    """Return the file of the weights that open_clip knows by a tag."""
    repository, filename = os.path.split(tag.get("hf_hub", ""))
    if repository:
        return _download(repository, filename or None, revision)
    refuse(revision, "this tag")
    try:
        return Path(download_pretrained(dict(tag)))
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"cannot find the weights of this tag in the cache or at {tag.get('url')}; fetch that file and "
            "give pretrained: PATH"
        ) from error


def _download(repository: str, filename: str | None, revision: str | None) -> Path:
    """Return a file of a repository on the Hub, from the cache if it is there; None: the weights."""
    try:
        return Path(download_pretrained_from_hf(repository, filename=filename, revision=revision))
    except (OSError, ValueError) as error:
        at = f" --revision {revision}" if revision else ""
        raise ValueError(
            f"cannot find {filename or 'the weights'} of {repository}, in the cache or on the Hub; fetch it "
            f"with `hf download {repository}{at}` where there is a network, or give a local file or folder"
        ) from error


def _with(checkpoint: Checkpoint, weights: Path | None, model: str) -> Checkpoint:
    return checkpoint._replace(weights=weights, origin=origin(weights, model))
