"""Tiny models of the families that fusion_transformers reads, saved as their authors save them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from fusion_transformers.weights import quiet
from PIL import Image
from tokenizers import pre_tokenizers
from torch import Tensor, nn

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SPEECH = SMALL | {
    "conv_dim": [16, 16, 16],
    "conv_kernel": [10, 8, 4],
    "conv_stride": [5, 8, 4],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
"""A token every 160 samples, that sees 165."""
IMAGE = {"height": 32, "width": 32}
PATCHES = SMALL | {"image_size": 32, "patch_size": 8}
HEAR = {
    "num_mel_bins": 64,
    "spec_size": 256,
    "patch_embeds_hidden_size": 16,
    "hidden_size": 32,
    "depths": [1, 1],
    "num_hidden_layers": 2,
    "num_attention_heads": [2, 2],
    "window_size": 8,
    "projection_dim": 24,
}
TEXTS = ["a longer text of several words", "b", "what a day", "x" * 40]


def pictures() -> list[Any]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, shape, dtype=np.uint8) for shape in ((32, 32, 3), (50, 20, 3), (9, 9, 3))]


def sounds(*samples: int, rate: int = 16000) -> list[Any]:
    draw = np.random.default_rng(1)
    return [
        ((np.sin(np.arange(n) * (0.05 + 0.1 * i)) + draw.normal(0, 0.1, n)).astype(np.float32) / 2, rate)
        for i, n in enumerate(samples)
    ]


def shake(model: nn.Module) -> nn.Module:
    """Give a model weights so large that a vector depends visibly on all of its input."""
    torch.manual_seed(0)
    for name, tensor in model.named_parameters():
        if tensor.ndim > 1 and "embed_positions" not in name:
            nn.init.normal_(tensor, std=tensor[0].numel() ** -0.5)
        elif "norm" not in name.lower():
            nn.init.normal_(tensor, std=0.1)
    for name, tensor in model.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(tensor, std=0.5)
        if name.endswith("running_var"):
            nn.init.uniform_(tensor, 0.5, 2.0)
    return model.eval()


def save(folder: Path, *parts: Any) -> None:
    with quiet():
        for part in parts:
            part.save_pretrained(folder)


def bert_words(folder: Path) -> Any:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(words))
    return hf.BertTokenizer.from_pretrained(folder)


def byte_words(folder: Path, kind: Any, special: list[str], ends: bool) -> Any:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*special, *letters, *(f"{letter}</w>" for letter in letters if ends)]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return kind.from_pretrained(folder)


def roberta_words(folder: Path) -> Any:
    return byte_words(folder, hf.RobertaTokenizer, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], ends=False)


def clip_words(folder: Path) -> Any:
    return byte_words(folder, hf.CLIPTokenizer, ["<|startoftext|>", "<|endoftext|>"], ends=True)


def read(kind: Any, folder: Path) -> Any:
    with quiet():
        return kind.from_pretrained(folder).eval()


def words(folder: Path, text: str, **how: Any) -> dict[str, Tensor]:
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    return dict(tokenizer(text, return_tensors="pt", **how))


def pixels(folder: Path, picture: Any) -> dict[str, Tensor]:
    processor = hf.AutoImageProcessor.from_pretrained(folder)
    return dict(processor(images=Image.fromarray(picture), return_tensors="pt"))


def heard(folder: Path, sound: Any, **more: Any) -> dict[str, Tensor]:
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder)
    return dict(extractor(sound[0], sampling_rate=sound[1], return_tensors="pt", **more))


# text


def save_bert(folder: Path) -> None:
    tokenizer = bert_words(folder)
    model = hf.BertForMaskedLM(hf.BertConfig(**SMALL, vocab_size=60, max_position_embeddings=64))
    save(folder, shake(model), tokenizer)


def save_roberta(folder: Path) -> None:
    tokenizer = roberta_words(folder)
    save(
        folder,
        shake(hf.RobertaModel(hf.RobertaConfig(**SMALL, vocab_size=300, max_position_embeddings=66))),
        tokenizer,
    )


def save_modernbert(folder: Path) -> None:
    tokenizer = bert_words(folder)
    config = hf.ModernBertConfig(
        **SMALL,
        vocab_size=60,
        pad_token_id=0,
        cls_token_id=2,
        bos_token_id=2,
        sep_token_id=3,
        eos_token_id=3,
        local_attention=8,
    )
    save(folder, shake(hf.ModernBertModel(config)), tokenizer)


def save_clip(folder: Path) -> None:
    tokenizer = clip_words(folder)
    numbers = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "vocab_size": len(tokenizer)}
    config = hf.CLIPConfig(
        text_config=SMALL | numbers | {"max_position_embeddings": 48},
        vision_config=PATCHES,
        projection_dim=24,
    )
    processor = hf.CLIPProcessor(hf.CLIPImageProcessor(size=IMAGE, crop_size=IMAGE), tokenizer)
    save(folder, shake(hf.CLIPModel(config)), processor)


def save_siglip(folder: Path) -> None:
    tokenizer = bert_words(folder)
    tokenizer.model_input_names = ["input_ids"]
    config = hf.SiglipConfig(
        text_config=SMALL | {"vocab_size": 60, "max_position_embeddings": 48, "pad_token_id": 0},
        vision_config=PATCHES,
    )
    save(folder, shake(hf.SiglipModel(config)), hf.SiglipImageProcessor(size=IMAGE), tokenizer)


def save_clap(folder: Path, fusion: bool = False) -> None:
    tokenizer = roberta_words(folder)
    config = hf.ClapConfig(
        text_config=SMALL | {"vocab_size": 300, "max_position_embeddings": 66, "projection_dim": 24},
        audio_config=HEAR | {"enable_fusion": fusion},
        projection_dim=24,
    )
    truncation = "fusion" if fusion else "rand_trunc"
    extractor = hf.ClapFeatureExtractor(
        max_length_s=1, sampling_rate=16000, frequency_max=8000, truncation=truncation
    )
    save(folder, shake(hf.ClapModel(config)), hf.ClapProcessor(extractor, tokenizer))


# image


def save_vit(folder: Path) -> None:
    model = hf.ViTForImageClassification(hf.ViTConfig(**PATCHES))
    save(folder, shake(model), hf.ViTImageProcessor(size=IMAGE))


def save_dinov2(folder: Path) -> None:
    processor = hf.BitImageProcessor(size={"shortest_edge": 36}, crop_size=IMAGE)
    save(folder, shake(hf.Dinov2Model(hf.Dinov2Config(**PATCHES))), processor)


def save_dinov3(folder: Path) -> None:
    config = hf.DINOv3ViTConfig(**PATCHES, num_register_tokens=3)
    save(folder, shake(hf.DINOv3ViTModel(config)), hf.ViTImageProcessor(size=IMAGE))


def save_convnext(folder: Path) -> None:
    config = hf.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, image_size=32)
    save(folder, shake(hf.ConvNextModel(config)), hf.ViTImageProcessor(size=IMAGE))


# audio


def save_wav2vec2(folder: Path, norm: str = "layer", model: Any = hf.Wav2Vec2ForCTC, **more: Any) -> None:
    layer = norm == "layer"
    settings = SPEECH | {"feat_extract_norm": norm, "do_stable_layer_norm": layer, "conv_bias": layer} | more
    extractor = hf.Wav2Vec2FeatureExtractor(return_attention_mask=layer)
    save(folder, shake(model(model.config_class(**settings))), extractor)


def save_whisper(folder: Path) -> None:
    config = hf.WhisperConfig(
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        vocab_size=60,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
        num_mel_bins=16,
        max_source_positions=100,
    )
    model = shake(hf.WhisperForConditionalGeneration(config))
    save(folder, model, hf.WhisperFeatureExtractor(feature_size=16, chunk_length=2))


def save_ast(folder: Path) -> None:
    settings = {
        "patch_size": 8,
        "frequency_stride": 8,
        "time_stride": 6,
        "num_mel_bins": 16,
        "max_length": 98,
    }
    model = shake(hf.ASTForAudioClassification(hf.ASTConfig(**SMALL, **settings)))
    save(folder, model, hf.ASTFeatureExtractor(num_mel_bins=16, max_length=98))
