"""What an encoder of a plugin costs beside calling its library directly on the same batch.

    python benchmarks/encoders.py [rounds]

Towers of the usual size with random weights. Prints the median milliseconds of both and the median ratio,
each pair measured one after the other, in turns, and how far the vectors are apart.
"""

import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from fusion_openclip.image import OpenClipImage
from fusion_openclip.text import OpenClipText
from fusion_timm.image import TimmImage
from fusion_transformers.audio import HfAudio
from fusion_transformers.image import HfImage
from fusion_transformers.text import HfText
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fusion import Encoder

ROWS = 16
Direct = Callable[[dict[str, Tensor]], Tensor]


class Case(NamedTuple):
    """An encoder, what it reads, and the vectors that the library itself makes of the same inputs."""

    name: str
    encoder: Encoder
    samples: list[object]
    direct: Direct


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    pictures: list[object] = list(rng.integers(0, 256, (ROWS, 224, 224, 3), np.uint8))
    sounds: list[object] = [
        (rng.standard_normal(32_000).astype(np.float32) / 10, 16_000) for _ in range(ROWS)
    ]
    texts: list[object] = ["a photo of a dog that runs over the grass in the rain"] * ROWS

    clip = OpenClipImage(model="ViT-B-32", pretrained=False)
    yield Case("openclip-image ViT-B-32", clip, pictures, lambda inputs: clip.tower(**inputs)[0])
    words = OpenClipText(model="ViT-B-32", pretrained=False)

    def open_clip_text(inputs: dict[str, Tensor]) -> Tensor:
        full = torch.nn.functional.pad(
            inputs["ids_0"], (0, words.tower.context_length - inputs["ids_0"].shape[1])
        )
        return words.tower(full)[0]  # type: ignore[no-any-return]

    yield Case("openclip-text ViT-B-32", words, texts, open_clip_text)
    for name in ("vgg16", "resnet50", "convnext_tiny", "vit_small_patch16_224"):
        timm = TimmImage(model=name, pretrained=False)
        yield Case(f"timm-image {name}", timm, pictures, _timm(timm))
    small = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 12}
    bert = HfText(model="config:bert", settings=small, pooling="cls")
    yield Case("hf-text bert, 6 layers of 384", bert, texts, _bert(bert))
    mixed: list[object] = [" ".join(["a photo of a dog"] * (1 + row)) for row in range(ROWS)]
    yield Case("hf-text bert, texts of all lengths", bert, mixed, _padded(bert, mixed))
    vit = HfImage(model="config:vit", settings=small | {"num_attention_heads": 6}, pooling="cls")
    yield Case("hf-image vit, 6 layers of 384", vit, pictures, lambda inputs: _first(vit, inputs))
    eyes = HfImage(model="config:clip_vision_model", settings=small | {"num_attention_heads": 6})
    yield Case("hf-image CLIP, 6 layers of 384", eyes, pictures, lambda inputs: _clip(eyes, inputs))
    named = HfText(model="config:clip_text_model", settings=small | {"num_attention_heads": 6})
    yield Case("hf-text CLIP, 6 layers of 384", named, texts, _clip_text(named))
    wav2vec2 = HfAudio(
        model="config:wav2vec2", settings=small | {"feat_extract_norm": "layer"}, pooling="mean"
    )
    yield Case("hf-audio wav2vec2, 6 layers of 384", wav2vec2, sounds, _wav2vec2(wav2vec2))
    hubert = HfAudio(model="config:hubert", settings=small | {"feat_extract_norm": "layer"}, pooling="mean")
    yield Case("hf-audio HuBERT, 6 layers of 384", hubert, sounds, _wav2vec2(hubert))
    ast = HfAudio(model="config:audio-spectrogram-transformer", settings=small)
    yield Case("hf-audio AST, 6 layers of 384", ast, sounds[:4], _ast(ast))
    clap = HfAudio(model="config:clap")
    yield Case("hf-audio CLAP", clap, sounds[:4], _clap(clap))
    settings = {"d_model": 384, "encoder_layers": 6, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536}
    whisper = HfAudio(model="config:whisper", settings=settings, pooling="mean")
    yield Case("hf-audio whisper, 6 layers of 384", whisper, sounds[:4], _whisper(whisper))


def _timm(encoder: TimmImage) -> Direct:
    body = encoder.backbone
    return lambda inputs: body.forward_head(body.forward_features(inputs["x"]), pre_logits=True)


def _bert(encoder: HfText) -> Direct:
    return lambda inputs: encoder.model(
        input_ids=inputs["ids_0"], attention_mask=inputs["mask_0"].long()
    ).last_hidden_state[:, 0]


def _clip(encoder: HfImage, inputs: dict[str, Tensor]) -> Tensor:
    return encoder.model(pixel_values=inputs["pixels"]).image_embeds  # type: ignore[no-any-return]


def _clip_text(encoder: HfText) -> Direct:
    return lambda inputs: (
        encoder.model(input_ids=inputs["ids_0"], attention_mask=inputs["mask_0"].long()).text_embeds
    )


def _ast(encoder: HfAudio) -> Direct:
    return lambda inputs: encoder.model(inputs["input_values_0"]).pooler_output


def _clap(encoder: HfAudio) -> Direct:
    return lambda inputs: (
        encoder.model(input_features=inputs["input_features_0"], is_longer=inputs["is_longer_0"]).audio_embeds
    )


def _padded(encoder: HfText, texts: list[object]) -> Direct:
    """One batch, padded to its longest text, as the library's tokenizers give it."""
    rows = [torch.tensor(encoder.processor.decode(text)) for text in texts]
    ids = pad_sequence(rows, batch_first=True, padding_value=encoder.processor.padding)
    mask = (torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]).long()
    return lambda inputs: encoder.model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]


def _whisper(encoder: HfAudio) -> Direct:
    frames = 100  # the encoder's, of two seconds; the rest of its half minute is silence
    return lambda inputs: encoder.model(inputs["input_features_0"]).last_hidden_state[:, :frames].mean(1)


def _first(encoder: HfImage, inputs: dict[str, Tensor]) -> Tensor:
    return encoder.model(pixel_values=inputs["pixels"]).last_hidden_state[:, 0]  # type: ignore[no-any-return]


def _wav2vec2(encoder: HfAudio) -> Direct:
    return lambda inputs: encoder.model(inputs["input_values_0"]).last_hidden_state.mean(1)


@torch.no_grad()
def measure(case: Case, rounds: int) -> None:
    encoder = case.encoder.eval()
    inputs = encoder.processor.collate([encoder.processor.decode(sample) for sample in case.samples])
    far = (encoder(**inputs).pooled - case.direct(inputs)).abs().max().item()
    pairs = []
    for number in range(rounds):
        both: list[Callable[[], object]] = [lambda: encoder(**inputs), lambda: case.direct(inputs)]
        seconds = [_seconds(both[place]) for place in ((0, 1) if number % 2 else (1, 0))]
        pairs.append((seconds[0], seconds[1]) if number % 2 else (seconds[1], seconds[0]))
    ours, theirs = (1000 * median(column) for column in zip(*pairs, strict=True))
    ratio = median(first / second for first, second in pairs)
    print(f"{case.name:36} {ours:9.1f} {theirs:9.1f} {ratio:7.3f} {far:10.1e}")


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main(rounds: int = 15) -> None:
    print(f"{rounds} rounds of {ROWS} rows, {torch.get_num_threads()} threads")
    print(f"{'encoder':36} {'ours, ms':>9} {'library':>9} {'ratio':>7} {'apart':>10}")
    for case in cases():
        measure(case, rounds)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
