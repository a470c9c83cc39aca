"""Build an open_clip model once and hand out its towers, one to each encoder."""

import copy
import json
from pathlib import Path
from typing import Any

import open_clip
from fusion_timm.pretrained import first
from torch import nn

from fusion import shared
from fusion_openclip.checkpoint import CONFIG, Checkpoint, find

# what stands for the tower that an encoder does not keep, when it is built again
NO_IMAGE = {"image_size": 8, "patch_size": 8, "width": 8, "head_width": 8, "layers": 1}
NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}


class Towers:
    """The two towers of one model. One that is taken a second time is a copy: encoders share no weights."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        model = _build(checkpoint)
        self.checkpoint = checkpoint
        self._towers = {"image": model.visual, "text": model.text}
        self._taken: set[str] = set()

    def take(self, modality: str) -> nn.Module:
        tower = self._towers[modality]
        if modality in self._taken:
            return copy.deepcopy(tower)
        self._taken.add(modality)
        return tower


def load(model: str, pretrained: bool | str | None, revision: str | None) -> Towers:
    """Return the towers that the options of an encoder mean, read once for all encoders of a model."""
    key = ("fusion_openclip", model, pretrained, revision)
    return shared(key, lambda: Towers(find(model, pretrained, revision)))


def save(checkpoint: Checkpoint, folder: Path, **replaced: dict[str, Any]) -> None:
    """Write the configuration of one tower as open_clip writes it; `replaced` is that of the other one."""
    kept = {key: checkpoint.config[key] for key in ("embed_dim", "vision_cfg", "text_cfg")}
    kept["quick_gelu"] = checkpoint.config.get("quick_gelu", False)
    said = {"model_cfg": kept | replaced, "preprocess_cfg": checkpoint.preprocessing}
    (folder / CONFIG).write_text(json.dumps(said, indent=2) + "\n", "utf-8")


def projection_last(
    groups: list[list[nn.Parameter]], tower: nn.Module, name: str
) -> list[list[nn.Parameter]]:
    """Return groups of layers with the tower's own parameter `name` last, if it has that: it comes last."""
    projection = dict(tower.named_parameters(recurse=False)).get(name)
    if projection is None:
        return groups
    others = [[parameter for parameter in group if parameter is not projection] for group in groups]
    return [*filter(None, others), [projection]]


def _build(checkpoint: Checkpoint) -> nn.Module:
    """Build the model and load its weights, which bring everything: no part is fetched from elsewhere."""
    config = copy.deepcopy(checkpoint.config)
    config.pop("custom_text", None)
    config["vision_cfg"]["timm_model_pretrained"] = False
    config["text_cfg"]["hf_model_pretrained"] = False
    # always with the text tower as a module of its own; load_checkpoint knows where the weights belong
    kind = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP
    try:
        model: nn.Module = kind(**config)
    except OSError as error:
        text_model = config["text_cfg"].get("hf_model_name")
        raise ValueError(
            f"cannot find the configuration of the text model {text_model}; fetch it with "
            f"`hf download {text_model} config.json`"
        ) from error
    except Exception as error:  # whatever the parts make of a configuration that is not for them
        raise ValueError(f"open_clip cannot build {checkpoint.name}: {first(error)}") from error
    if checkpoint.weights is not None:
        try:
            open_clip.load_checkpoint(model, str(checkpoint.weights), strict=True, weights_only=True)
        except Exception as error:  # SafetensorError, UnpicklingError, RuntimeError for other shapes ...
            raise ValueError(
                f"cannot load the weights {checkpoint.weights} into {checkpoint.name}: {first(error)}"
            ) from error
    return model
