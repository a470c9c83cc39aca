"""Encoders for text, images and sound from transformers."""

from fusion import Component, hookimpl

PLAIN = {"revision": None, "remote_code": None, "pooling": "auto"}
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@hookimpl
def fusion_encoders() -> list[Component]:
    return [
        Component(
            "hf-text",
            "fusion_transformers.text:HfText",
            "text",
            tiny={
                **PLAIN,
                "model": "config:bert",
                "settings": {**SMALL, "max_position_embeddings": 64},
                "max_length": None,
            },
        ),
        Component(
            "hf-image",
            "fusion_transformers.image:HfImage",
            "image",
            tiny={**PLAIN, "model": "config:vit", "settings": {**SMALL, "image_size": 32, "patch_size": 8}},
        ),
        Component(
            "hf-audio",
            "fusion_transformers.audio:HfAudio",
            "audio",
            tiny={
                **PLAIN,
                "model": "config:wav2vec2",
                "settings": {
                    **SMALL,
                    "feat_extract_norm": "layer",
                    "conv_dim": [16, 16, 16],
                    "conv_kernel": [10, 8, 4],
                    "conv_stride": [5, 8, 4],
                    "num_feat_extract_layers": 3,
                    "num_conv_pos_embeddings": 16,
                    "num_conv_pos_embedding_groups": 4,
                },
            },
        ),
    ]
