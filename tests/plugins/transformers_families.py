"""The families of models that fusion_transformers reads: a tiny one of each, and what is right."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from fusion_transformers.audio import HfAudio
from fusion_transformers.image import HfImage
from fusion_transformers.text import HfText
from torch import Tensor

from tests.plugins.transformers_folders import (
    TEXTS,
    heard,
    pictures,
    pixels,
    read,
    save_ast,
    save_bert,
    save_clap,
    save_clip,
    save_convnext,
    save_dinov2,
    save_dinov3,
    save_modernbert,
    save_roberta,
    save_siglip,
    save_vit,
    save_wav2vec2,
    save_whisper,
    sounds,
    words,
)

# what the library itself says of one sample


def by_bert(folder: Path, text: str) -> Tensor:
    return read(hf.BertModel, folder)(**words(folder, text)).last_hidden_state.mean(1)


def by_roberta(folder: Path, text: str) -> Tensor:
    return read(hf.RobertaModel, folder)(**words(folder, text)).last_hidden_state.mean(1)


def by_modernbert(folder: Path, text: str) -> Tensor:
    return read(hf.ModernBertModel, folder)(**words(folder, text)).last_hidden_state.mean(1)


def by_clip_text(folder: Path, text: str) -> Tensor:
    model = read(hf.CLIPModel, folder)
    given = words(folder, text, truncation=True, max_length=48)
    return model.text_projection(model.text_model(**given).pooler_output)


def by_siglip_text(folder: Path, text: str) -> Tensor:
    ids = words(folder, text, padding="max_length", max_length=48)["input_ids"]
    return read(hf.SiglipModel, folder).text_model(input_ids=ids).pooler_output


def by_clap_text(folder: Path, text: str) -> Tensor:
    model = read(hf.ClapModel, folder)
    return model.text_projection(model.text_model(**words(folder, text)).pooler_output)


def by_clip_image(folder: Path, picture: Any) -> Tensor:
    model = read(hf.CLIPModel, folder)
    return model.visual_projection(model.vision_model(**pixels(folder, picture)).pooler_output)


def by_siglip_image(folder: Path, picture: Any) -> Tensor:
    return read(hf.SiglipModel, folder).vision_model(**pixels(folder, picture)).pooler_output


def by_vit(folder: Path, picture: Any) -> Tensor:
    model = read(hf.ViTForImageClassification, folder).vit
    return model(**pixels(folder, picture)).last_hidden_state[:, 0]


def by_dinov2(folder: Path, picture: Any) -> Tensor:
    return read(hf.Dinov2Model, folder)(**pixels(folder, picture)).last_hidden_state[:, 0]


def by_dinov3(folder: Path, picture: Any) -> Tensor:
    return read(hf.DINOv3ViTModel, folder)(**pixels(folder, picture)).last_hidden_state[:, 0]


def by_convnext(folder: Path, picture: Any) -> Tensor:
    return read(hf.ConvNextModel, folder)(**pixels(folder, picture)).last_hidden_state.mean((2, 3))


def by_speech(folder: Path, sound: Any) -> Tensor:
    model = read(hf.AutoModel, folder)
    return model(input_values=heard(folder, sound)["input_values"]).last_hidden_state.mean(1)


def by_whisper(folder: Path, sound: Any) -> Tensor:
    model = read(hf.WhisperModel, folder).get_encoder()
    tokens = model(heard(folder, sound)["input_features"]).last_hidden_state
    return tokens[:, : -(-len(sound[0]) // 320)].mean(1)  # a token is 20 ms


def by_ast(folder: Path, sound: Any) -> Tensor:
    return read(hf.ASTModel, folder)(**heard(folder, sound)).pooler_output


def by_clap_audio(folder: Path, sound: Any) -> Tensor:
    model = read(hf.ClapModel, folder)
    features = heard(folder, sound)["input_features"].float()
    return model.audio_projection(
        model.audio_model(features, is_longer=torch.tensor([[False]])).pooler_output
    )


@dataclass(frozen=True)
class Family:
    """An encoder, how a tiny model is saved, what the library says of a sample, and the width of that."""

    encoder: type[HfText | HfImage | HfAudio]
    save: Callable[[Path], None]
    expected: Callable[[Path, Any], Tensor]  # (1, d) of one sample
    samples: Sequence[Any]
    dim: int = 32


SOUNDS = sounds(6400, 805, 16000, 7001)
LONGER = sounds(6400, 2005, 16000, 7001)  # what is shorter than 0.1 s is filled up where nothing is known
FAMILIES = {
    "bert": Family(HfText, save_bert, by_bert, TEXTS),
    "roberta": Family(HfText, save_roberta, by_roberta, TEXTS),
    "modernbert": Family(HfText, save_modernbert, by_modernbert, TEXTS),
    "clip text": Family(HfText, save_clip, by_clip_text, TEXTS, 24),
    "siglip text": Family(HfText, save_siglip, by_siglip_text, TEXTS),
    "clap text": Family(HfText, save_clap, by_clap_text, TEXTS, 24),
    "clip image": Family(HfImage, save_clip, by_clip_image, pictures(), 24),
    "siglip image": Family(HfImage, save_siglip, by_siglip_image, pictures()),
    "vit": Family(HfImage, save_vit, by_vit, pictures()),
    "dinov2": Family(HfImage, save_dinov2, by_dinov2, pictures()),
    "dinov3": Family(HfImage, save_dinov3, by_dinov3, pictures()),
    "convnext": Family(HfImage, save_convnext, by_convnext, pictures(), 16),
    "wav2vec2, layer norm": Family(HfAudio, save_wav2vec2, by_speech, SOUNDS),
    "wav2vec2, group norm": Family(HfAudio, partial(save_wav2vec2, norm="group"), by_speech, SOUNDS),
    "hubert": Family(HfAudio, partial(save_wav2vec2, model=hf.HubertForCTC), by_speech, SOUNDS),
    "wavlm": Family(HfAudio, partial(save_wav2vec2, model=hf.WavLMForCTC), by_speech, SOUNDS),
    "data2vec": Family(HfAudio, partial(save_wav2vec2, model=hf.Data2VecAudioForCTC), by_speech, LONGER),
    "whisper": Family(HfAudio, save_whisper, by_whisper, SOUNDS),
    "ast": Family(HfAudio, save_ast, by_ast, SOUNDS),
    "clap audio": Family(HfAudio, save_clap, by_clap_audio, SOUNDS, 24),
    "clap audio, fused": Family(HfAudio, partial(save_clap, fusion=True), by_clap_audio, SOUNDS, 24),
}


def saved(name: str, folder: Path) -> str:
    """Save a tiny model of a family into a folder and return its path."""
    FAMILIES[name].save(folder)
    return str(folder)


def encode(encoder: Any, samples: Sequence[Any]) -> Any:
    """Encode raw samples in evaluation."""
    processor = encoder.eval().processor
    with torch.no_grad():
        return encoder(**processor.collate([processor.decode(sample) for sample in samples]))
