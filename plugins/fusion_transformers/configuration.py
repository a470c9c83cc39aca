"""From the options of a recipe to the library's configuration of a model, and where its weights are."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import transformers
from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig

from fusion_transformers.remote import RemoteCode, pinned
from fusion_transformers.repository import Repository, find
from fusion_transformers.weights import quiet

RANDOM = "config:"

OFF = {
    "apply_spec_augment": False,  # varying samples is for augmentations, which know their seed
    "mask_time_prob": 0.0,  # without these two there is no vector for what SpecAugment masks
    "mask_feature_prob": 0.0,
    "pos_embed_shift": None,  # DINOv3 moves the places of patches
    "pos_embed_jitter": None,
    "pos_embed_rescale": None,
    "layerdrop": 0.0,  # a dropped layer gets no gradient on one process and one on another
    "encoder_layerdrop": 0.0,
    "use_cache": False,  # of decoders, for generation
}


class Described(NamedTuple):
    """A model that is still to be built."""

    config: PretrainedConfig
    weights: Literal["pretrained", "random", "saved"]  # saved: loaded by the core, after the build
    repository: Repository | None  # none for a type of model that is described in the recipe alone
    code: RemoteCode | None


def describe(
    assets: Path | None,
    model: str,
    revision: str | None,
    settings: Mapping[str, Any] | None,
    remote_code: str | None,
) -> Described:
    """Return the configuration of a model: from `assets`, from a folder or the hub, or from settings.

    `model` is a folder or an id of the hub for pretrained weights, and `config:` before either, or before a
    type of model such as `bert`, for random ones. Raises ValueError.
    """
    code = pinned(remote_code)
    name = model.removeprefix(RANDOM)
    if settings and (name == model or name not in CONFIG_MAPPING):
        raise ValueError(
            f"settings are for a type of model, such as `model: config:bert`; model is {model!r}, "
            "which has its own"
        )
    if assets is not None:
        repository = Repository(model, assets)
        return Described(_read(repository, code), "saved", repository, code)
    if name == model:
        repository = find(name, revision, weights=True)
        return Described(_read(repository, code), "pretrained", repository, code)
    if name in CONFIG_MAPPING:
        if revision is not None:
            raise ValueError(f"revision is {revision!r}, but model is {model!r}, which is in no repository")
        return Described(_settled(_from_settings(name, settings or {})), "random", None, code)
    repository = find(name, revision, weights=False)
    return Described(_read(repository, code), "random", repository, code)


def _read(repository: Repository, code: RemoteCode | None) -> PretrainedConfig:
    try:
        described = json.loads((repository.folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{repository.folder} holds no config.json that can be read; {repository.remedy}"
        ) from error
    if code is not None:
        config: PretrainedConfig = code.find("AutoConfig", described).from_pretrained(repository.folder)
        return _settled(config)
    kind = described.get("model_type")
    try:
        with quiet():
            read = AutoConfig.from_pretrained(  # a folder  # nosec B615
                repository.folder, trust_remote_code=False
            )
            return _settled(read)
    except Exception as error:  # an unknown type, a missing or ill-typed setting: each raises its own kind
        if "auto_map" in described:
            raise ValueError(
                f"the model {repository.name!r} is code of its own; to run that here, "
                "name it with remote_code: 'org/name@' and the commit's 40 hexadecimal digits"
            ) from error
        raise ValueError(
            f"the configuration of {repository.name!r}, of the type {kind!r}, "
            f"cannot be read by transformers {transformers.__version__}: {short(error)}"
        ) from error


def short(error: Exception) -> str:
    """Return the text of an error of the library, which may run over many lines, as one of sane length."""
    return " ".join(str(error).split())[:300]


def _settled(config: PretrainedConfig) -> PretrainedConfig:
    """Switch off what draws at random in training beside dropout, in all parts of a configuration."""
    config._attn_implementation = None  # it may name a kernel of the hub, which is code
    for part in (config, *(getattr(config, name) for name in config.sub_configs)):
        for name in OFF.keys() & part.to_dict().keys():
            setattr(part, name, OFF[name])
    return config


def _from_settings(kind: str, settings: Mapping[str, Any]) -> PretrainedConfig:
    with quiet():
        plain = CONFIG_MAPPING[kind]()
        _expect_known(settings, plain.to_dict() | plain.attribute_map, "settings")
        try:
            return AutoConfig.for_model(kind, **settings)
        except Exception as error:  # a wrong type, a width that heads do not divide: each raises its own kind
            raise ValueError(f"settings do not make a {kind}: {short(error)}") from error


def _expect_known(settings: Mapping[str, Any], known: Mapping[str, Any], path: str) -> None:
    """Raise ValueError for a setting that there is not; the library would keep it and never read it."""
    for name, value in settings.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{path}: there is no setting {name!r}{meant}")
        if isinstance(value, Mapping) and isinstance(known[name], Mapping):
            _expect_known(value, known[name], f"{path}.{name}")
