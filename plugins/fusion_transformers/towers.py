"""Which towers there are, by the library's configuration classes.

A model of another class is taken as it comes and averaged; what its vector does not depend on is found out by
encoding a sample and frozen. An entry says which vector a model was trained for, and saves that sample.
"""

from collections.abc import Mapping
from dataclasses import replace

from transformers import (
    ASTConfig,
    ClapAudioConfig,
    ClapConfig,
    ClapTextConfig,
    CLIPConfig,
    CLIPTextConfig,
    CLIPVisionConfig,
    DeiTConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    DINOv3ViTConfig,
    HubertConfig,
    PretrainedConfig,
    SiglipConfig,
    SiglipTextConfig,
    SiglipVisionConfig,
    ViTConfig,
    Wav2Vec2Config,
    WavLMConfig,
    WhisperConfig,
)

from fusion_transformers.tower import Tower


def class_token(config: PretrainedConfig) -> int:
    """Return how many tokens come before the first patch."""
    return 1


def class_and_distillation_token(config: PretrainedConfig) -> int:
    """Return how many tokens come before the first patch."""
    return 2


def class_and_register_tokens(config: PretrainedConfig) -> int:
    """Return how many tokens come before the first patch (Darcet et al. 2024)."""
    return 1 + int(config.num_register_tokens)


Towers = Mapping[type[PretrainedConfig], Tower]

CLIP = Tower(pooling="output", width="projection_dim")
CLIP_TEXT = replace(
    CLIP,
    model="CLIPTextModelWithProjection",
    part="text_config",
    output="text_embeds",
    head=("text_projection",),
    projection=("text_projection",),
)
CLIP_VISION = replace(
    CLIP,
    model="CLIPVisionModelWithProjection",
    part="vision_config",
    output="image_embeds",
    head=("vision_model.post_layernorm", "visual_projection"),
    projection=("vision_model.post_layernorm", "visual_projection"),
    special=class_token,
)
CLAP_TEXT = replace(
    CLIP,
    model="ClapTextModelWithProjection",
    part="text_config",
    output="text_embeds",
    head=("text_model.pooler", "text_projection"),
    projection=("text_projection",),
)
CLAP_AUDIO = replace(
    CLIP,
    model="ClapAudioModelWithProjection",
    part="audio_config",
    output="audio_embeds",
    head=("audio_projection",),
    projection=("audio_projection",),
)
SIGLIP_TEXT = Tower(
    model="SiglipTextModel",
    part="text_config",
    pooling="output",
    width="projection_size",
    head=("head",),
    projection=("head",),
    full=True,
)
SIGLIP_VISION = Tower(model="SiglipVisionModel", part="vision_config", pooling="output", head=("head",))
UNKNOWN = Tower()
VIT = Tower(pooling="cls", special=class_token)
DINO = replace(VIT, head=())  # its own vector is the class token
REGISTERS = replace(DINO, special=class_and_register_tokens)

TEXT: Towers = {
    CLIPConfig: CLIP_TEXT,
    CLIPTextConfig: CLIP_TEXT,
    ClapConfig: CLAP_TEXT,
    ClapTextConfig: CLAP_TEXT,
    SiglipConfig: SIGLIP_TEXT,
    SiglipTextConfig: SIGLIP_TEXT,
}
IMAGE: Towers = {
    CLIPConfig: CLIP_VISION,
    CLIPVisionConfig: CLIP_VISION,
    SiglipConfig: SIGLIP_VISION,
    SiglipVisionConfig: SIGLIP_VISION,
    ViTConfig: VIT,
    DeiTConfig: replace(VIT, special=class_and_distillation_token),
    Dinov2Config: DINO,
    Dinov2WithRegistersConfig: REGISTERS,
    DINOv3ViTConfig: REGISTERS,
}
AUDIO: Towers = {
    ClapConfig: CLAP_AUDIO,
    ClapAudioConfig: CLAP_AUDIO,
    WhisperConfig: Tower(),
    Wav2Vec2Config: Tower(),
    HubertConfig: Tower(),
    WavLMConfig: Tower(),
    ASTConfig: Tower(pooling="output", head=(), special=class_and_distillation_token),
}


def tower_of(config: PretrainedConfig, towers: Towers) -> Tower:
    """Return the tower of a configuration. Raises ValueError for several towers of which none is known."""
    for kind in type(config).__mro__:
        if kind in towers:
            return towers[kind]
    if config.sub_configs:
        known = ", ".join(sorted(kind.__name__ for kind in towers))
        raise ValueError(
            f"{type(config).__name__} describes several models in one, of which none is known to fit; "
            f"known: {known}"
        )
    return UNKNOWN
