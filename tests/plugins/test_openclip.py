"""The plugin fusion_openclip: the same numbers as open_clip itself, from every place where weights can be."""

import copy
import json
import pickle
import shutil
from dataclasses import replace

import open_clip
import pytest
import safetensors.torch
import torch
import transformers
from fusion_openclip import fusion_encoders
from fusion_openclip.image import OpenClipImage
from fusion_openclip.text import OpenClipText
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from fusion.sharing import sharing
from fusion.testing import check_encoder
from tests.plugins.pretrained import COMMIT, cached, close, encode, offline, photograph, pictures, sha256

TEXTS = "a photo of a cat", "b", "naïve 漢字, " + "long " * 40, "!!! a!b ! wow!!", "a picture of a dog"

VIT = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 32, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 2}
BOTH_WAYS = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}


def timm_tower(name, size=160, pool="", proj="linear"):
    return {"image_size": size, "timm_model_name": name, "timm_pool": pool, "timm_proj": proj}


# one of each kind: how it pools, projects and masks
KINDS = {
    "clip": {},
    "quickgelu": {"quick_gelu": True},
    "avg": {"vision_cfg": VIT | {"pool_type": "avg"}},
    "clipa": {
        "vision_cfg": VIT | {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
        "text_cfg": TEXT | {"no_causal_mask": True, "pool_type": "last"},
    },
    "resnet": {"vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8}},
    "siglip": {
        "embed_dim": 96,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": timm_tower("test_vit3", pool="map", proj="none"),
        "text_cfg": TEXT | BOTH_WAYS,
    },
    "pe": {"custom_text": True, "vision_cfg": timm_tower("test_vit3", pool="map", proj=None)},
    "eva": {"custom_text": True, "vision_cfg": timm_tower("test_vit", pool="token", proj=None)},
    "convnext": {"vision_cfg": timm_tower("test_convnext")},
    "gap": {"vision_cfg": timm_tower("test_vit_relpos", proj="mlp")},
    "rot": {"vision_cfg": timm_tower("test_efficientnet", pool="rot_attn", proj=None)},
    "coca": {
        "custom_text": True,
        "vision_cfg": VIT
        | {"attentional_pool": True, "attn_pooler_queries": 5, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": TEXT | {"attn_pooler_heads": 2},
    },
}
KIND = pytest.mark.parametrize("kind", KINDS)


def config(kind="clip", **changes):
    return copy.deepcopy({"embed_dim": 16, "vision_cfg": VIT, "text_cfg": TEXT} | KINDS[kind] | changes)


def written(folder, cfg, seed=0, **preprocessing):
    """A folder as open_clip writes it, with random weights; return the model in it."""
    said = {"model_cfg": cfg, "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(said))
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False).eval()
    for name, tensor in model.state_dict().items():
        if "running_var" in name:
            tensor.uniform_(0.5, 2)
        elif tensor.dtype.is_floating_point and tensor.ndim == 1:
            tensor.add_(torch.randn(tensor.shape) * 0.1)
    safetensors.torch.save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return model


@torch.no_grad()
def by_open_clip(name, **how):
    """What open_clip itself makes of the photograph and the texts."""
    model, _, transform = open_clip.create_model_and_transforms(name, **how)
    ids = open_clip.get_tokenizer(name)(list(TEXTS))
    model.eval()
    image = model.encode_image(transform(photograph())[None], normalize=False)
    return image, model.encode_text(ids, normalize=False)


@pytest.fixture(autouse=True)
def hub(tmp_path_factory, monkeypatch):
    """An empty cache of the Hub, and no network."""
    folder = tmp_path_factory.mktemp("hub")
    offline(monkeypatch, folder)
    return folder


@pytest.fixture
def architecture(monkeypatch):
    """Give open_clip an architecture and tags for it, and take them away again."""

    def add(name, cfg, **tags):
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, cfg)
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, name, tags)

    return add


# the same as open_clip


@KIND
def test_both_towers_of_a_folder_give_what_open_clip_gives(kind, tmp_path):
    written(tmp_path, config(kind))
    image, text = by_open_clip(f"local-dir:{tmp_path}")
    for encoder, samples, expected in (
        (OpenClipImage(model=str(tmp_path)), [photograph()], image),
        (OpenClipText(model=f"local-dir:{tmp_path}"), TEXTS, text),
    ):
        pooled, tokens, mask = encode(encoder, *samples)
        close(pooled, expected)
        assert encoder.dim == expected.shape[1]
        assert tokens is None or tokens.shape[::2] == expected.shape
        assert mask is None or mask.shape == tokens.shape[:2]
        assert encoder.origin["sha256"] == sha256(tmp_path / "open_clip_model.safetensors")


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("clip", 4),
        ("coca", 4),
        ("siglip", 100),
        ("eva", 100),
        ("convnext", 25),
        ("gap", 100),
        ("pe", None),
        ("rot", None),
        ("resnet", None),
    ],
)
def test_an_image_has_a_token_for_each_patch_or_cell_where_the_tower_has_them(kind, count, tmp_path):
    written(tmp_path, config(kind))
    pooled, tokens, mask = encode(OpenClipImage(model=str(tmp_path)), photograph(), *pictures())
    assert mask is None
    if count is None:
        assert tokens is None
    else:
        assert tokens.shape == (4, count, pooled.shape[1])


def json_of(folder, cfg):
    path = folder / "architecture.json"
    path.write_text(json.dumps(cfg))
    return str(path)


@pytest.mark.parametrize(
    "vision",
    [VIT | {"pool_type": "avg"}, timm_tower("test_resnet"), timm_tower("swin_tiny_patch4_window7_224", 224)],
    ids=["native", "NCHW", "NHWC"],
)
def test_patches_and_cells_are_in_the_space_of_the_image(vision, tmp_path):
    model = json_of(tmp_path, config(vision_cfg=vision))
    pooled, tokens, _ = encode(OpenClipImage(model=model, pretrained=False), photograph())
    assert tokens.std(1).min() > 1e-3  # they differ
    close(tokens.mean(1), pooled)  # where the vector is the projected mean of the patches


@pytest.mark.parametrize("kind", ["clip", "avg", "clipa"])
def test_patches_are_projected_as_the_vector_is(kind, tmp_path):
    written(tmp_path, config(kind))
    tower = open_clip.create_model(f"local-dir:{tmp_path}").visual.eval()
    encoder = OpenClipImage(model=str(tmp_path))
    x = encoder.processor.decode(photograph())[None]
    with torch.no_grad():
        last = tower.forward_intermediates(x, indices=1, normalize_intermediates=True, output_fmt="NLC")
    close(encode(encoder, photograph()).tokens, last["image_intermediates"][0] @ tower.proj)


@pytest.mark.parametrize("kind", ["clip", "clipa", "siglip", "coca"])
def test_tokens_of_a_text_are_projected_as_the_vector_is(kind, tmp_path):
    written(tmp_path, config(kind, custom_text=True))
    tower = open_clip.create_model(f"local-dir:{tmp_path}").text.eval()
    ids = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(list(TEXTS))
    with torch.no_grad():
        last = tower.forward_intermediates(ids, indices=1, normalize_intermediates=True, output_fmt="NLC")
        states = last["text_intermediates"][0]
        project = tower.text_projection
        expected = project(states) if kind == "siglip" else states @ project
    _, tokens, mask = encode(OpenClipText(model=str(tmp_path)), *TEXTS)
    close(tokens[mask], expected[mask])
    assert mask.sum(1).tolist() == [7, 3, 32, 9, 7]


@pytest.mark.parametrize("kind", ["clip", "clipa", "siglip", "eva", "convnext"])
def test_tokens_that_nobody_reads_are_spared_and_the_vector_is_the_same(kind, tmp_path):
    written(tmp_path, config(kind))
    for encoder, samples in (
        (OpenClipImage(model=str(tmp_path)), [photograph()]),
        (OpenClipText(model=str(tmp_path)), TEXTS),
    ):
        pooled = encode(encoder, *samples).pooled
        encoder.tokens_read = False
        spared = encode(encoder, *samples)
        assert spared.tokens is None
        close(spared.pooled, pooled)


def test_a_class_token_tells_of_a_patch_what_it_tells_of_the_image(tmp_path):
    written(tmp_path, config("eva"))
    model = open_clip.create_model(f"local-dir:{tmp_path}").eval()
    encoder = OpenClipImage(model=str(tmp_path))
    _, tokens, _ = encode(encoder, photograph())
    with torch.no_grad():
        features = model.visual.trunk.forward_features(encoder.processor.decode(photograph())[None])
        moved = features.roll(-3, dims=1)  # the third patch stands where the class token was
        close(tokens[:, 2], model.visual.trunk.forward_head(moved))


def test_a_text_has_a_token_for_each_of_its_tokens(tmp_path):
    written(tmp_path, config())
    ids = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(list(TEXTS))
    counts = (ids.argmax(1) + 1).tolist()  # the end of a text has the highest id
    pooled, tokens, mask = encode(OpenClipText(model=str(tmp_path)), *TEXTS)
    assert counts == [7, 3, 32, 9, 7]
    processor = OpenClipText(model=str(tmp_path)).processor
    assert [len(processor.pieces(processor.decode(text))) for text in TEXTS] == counts
    first = "".join(processor.pieces(processor.decode(TEXTS[0]))[1:-1])
    assert first.split() == TEXTS[0].lower().split()
    assert mask.sum(1).tolist() == counts
    assert mask.shape == (5, 32)
    for row, count in enumerate(counts):
        assert mask[row, :count].all()
        close(tokens[row, count - 1], pooled[row])  # a text is what its last token has seen


@torch.no_grad()
def test_texts_of_other_lengths_run_in_buckets_of_their_own_and_come_back_in_order(tmp_path):
    written(tmp_path, config())
    encoder = OpenClipText(model=str(tmp_path)).eval()
    texts = ["a photo of a cat on a mat", "b", "a photo of a cat", "c", "a dog"]
    whole, apart = (replace(encoder.processor, overhead=overhead) for overhead in (1000, 0))
    samples = [whole.decode(text) for text in texts]
    assert [whole.count_tokens(sample) for sample in samples] == [10, 3, 7, 3, 4]
    inputs = apart.collate(samples)
    assert [inputs[f"ids_{number}"].shape for number in range(4)] == [(2, 3), (1, 4), (1, 7), (1, 10)]
    together, split = encoder(**whole.collate(samples)), encoder(**inputs)
    torch.testing.assert_close(split.pooled, together.pooled)
    assert split.mask.equal(together.mask)
    torch.testing.assert_close(split.tokens[split.mask], together.tokens[together.mask])


def test_padding_that_no_token_sees_is_not_computed(tmp_path):
    written(tmp_path, config())
    encoder = OpenClipText(model=str(tmp_path))
    inputs = encoder.processor.collate([encoder.processor.decode(text) for text in ("b", "a photo of a cat")])
    assert inputs["ids_0"].shape == (2, 7)
    assert inputs["length_0"].tolist() == [3, 7]
    (tmp_path / "both").mkdir()
    written(tmp_path / "both", config("clipa"))
    seen = OpenClipText(model=str(tmp_path / "both")).processor
    assert seen.collate([seen.decode("b")])["ids_0"].shape == (1, 32)


# tokenizers and text models of transformers


def tokenizer_in(folder, end="</s>", pad="<pad>"):
    """Write a tokenizer of words; its ids begin with those that RoBERTa has."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "a", "photo", "of", "cat", "dog", "picture", "b", "long"]
    core = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single=f"<s> $A {end}", special_tokens=[("<s>", 0), (end, words.index(end))]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token=end,
        pad_token=pad,
        unk_token="<unk>",
        cls_token="<s>",
    ).save_pretrained(folder)


TINY_TEXT = {
    "vocab_size": 12,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
}
HF_KINDS = {
    "mean": (transformers.RobertaConfig, {"hf_proj_type": "mlp", "hf_pooler_type": "mean_pooler"}),
    "class token": (transformers.BertConfig, {"hf_proj_type": "linear", "hf_pooler_type": "cls_pooler"}),
    "first token": (transformers.BertConfig, {"hf_pooler_type": "cls_last_hidden_state_pooler"}),
}


def with_text_model(folder, kind):
    """A folder with an open_clip model whose text tower is one of transformers."""
    kind, options = HF_KINDS[kind]
    tokenizer_in(folder)
    kind(**TINY_TEXT).save_pretrained(folder)
    text = {"hf_model_name": str(folder), "hf_tokenizer_name": "org/text", "context_length": 16} | options
    return written(folder, config(text_cfg=text, embed_dim=16 if "hf_proj_type" in options else 24))


@pytest.mark.parametrize("kind", HF_KINDS)
def test_a_text_model_of_transformers_gives_what_open_clip_gives(kind, tmp_path):
    model = with_text_model(tmp_path, kind)
    _, expected = by_open_clip(f"local-dir:{tmp_path}")
    encoder = OpenClipText(model=str(tmp_path))
    pooled, tokens, mask = encode(encoder, *TEXTS)
    close(pooled, expected)
    counts = [7, 3, 16, 9, 7]
    assert mask.sum(1).tolist() == [count - (kind == "class token") for count in counts]
    if kind == "mean":
        ids = encoder.processor.decode(TEXTS[0])[None]
        with torch.no_grad():
            states = model.text.transformer(ids, attention_mask=(ids != 1).long()).last_hidden_state
            close(tokens[0, :7], model.text.proj(states)[0, :7])


def test_a_tokenizer_whose_texts_end_in_padding_has_the_end_among_its_tokens(tmp_path):
    cfg = config("siglip")
    cfg["text_cfg"] |= {"hf_tokenizer_name": "org/siglip", "context_length": 16, "vocab_size": 12}
    tokenizer_in(tmp_path, end="</s>", pad="</s>")
    written(tmp_path, cfg)
    _, expected = by_open_clip(f"local-dir:{tmp_path}")
    pooled, tokens, mask = encode(OpenClipText(model=str(tmp_path)), *TEXTS)
    close(pooled, expected)
    assert tokens.shape == (5, 16, 96)
    assert mask.sum(1).tolist() == [7, 3, 16, 9, 7]


@pytest.mark.parametrize("kind", HF_KINDS)
def test_a_text_model_keeps_the_contract(kind, tmp_path):
    with_text_model(tmp_path, kind)
    check_encoder(OpenClipText, list(TEXTS), model=str(tmp_path))


def test_what_a_text_tower_needs_from_elsewhere_is_named_with_how_to_fetch_it(tmp_path):
    with_text_model(tmp_path, "mean")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    with pytest.raises(
        ValueError, match=r"cannot load the tokenizer org/text; fetch it with `hf download org/text`"
    ):
        OpenClipText(model=str(tmp_path))
    cfg = config(text_cfg={"hf_model_name": "org/text", "hf_tokenizer_name": "org/text"})
    with pytest.raises(
        ValueError, match="configuration of the text model org/text; fetch it with `hf download org/te"
    ):
        OpenClipImage(model=json_of(tmp_path, cfg), pretrained=False)


def test_a_configuration_cannot_ask_for_code_to_be_run(monkeypatch, tmp_path):
    with_text_model(tmp_path, "mean")
    said = json.loads((tmp_path / "open_clip_config.json").read_text())
    said["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(said))
    asked, load = [], transformers.AutoTokenizer.from_pretrained
    monkeypatch.setattr(
        transformers.AutoTokenizer, "from_pretrained", lambda *a, **k: (asked.append(k), load(*a, **k))[1]
    )
    OpenClipText(model=str(tmp_path))
    assert [options["trust_remote_code"] for options in asked] == [False]


def test_the_tokenizer_of_a_pinned_model_is_pinned_too(hub):
    folder = cached(hub, "org/siglip", commit="a" * 40)
    cfg = config("siglip", vision_cfg=VIT)
    cfg["text_cfg"] |= {"hf_tokenizer_name": "org/siglip", "context_length": 16, "vocab_size": 12}
    tokenizer_in(folder)
    written(folder, cfg)
    shutil.copytree(folder, folder.parent / COMMIT)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("the head of main, which is not asked for")
    pinned = OpenClipText(model="hf-hub:org/siglip", revision=COMMIT)
    assert pinned.processor.decode("a cat").tolist() == [0, 4, 7, 2] + [1] * 12
    with pytest.raises(
        ValueError, match=r"cannot load the tokenizer org/siglip; fetch it with `hf download org/s"
    ):
        OpenClipText(model="hf-hub:org/siglip")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder.parent / COMMIT / name).unlink()
    with pytest.raises(ValueError, match=f"fetch it with `hf download org/siglip --revision {COMMIT}` where"):
        OpenClipText(model="hf-hub:org/siglip", revision=COMMIT)


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    cfg = config("siglip")
    cfg["text_cfg"] |= {"hf_tokenizer_name": "org/siglip", "context_length": 16, "vocab_size": 12}
    tokenizer_in(tmp_path, pad=None)
    written(tmp_path, cfg)
    with pytest.raises(ValueError, match=r"the tokenizer /.* has no token for padding"):
        OpenClipText(model=str(tmp_path))


# places of weights, and what they imply


@pytest.mark.parametrize("form", ["safetensors", "pt", "a training checkpoint"])
def test_an_architecture_and_a_weights_file_give_what_open_clip_gives(form, architecture, tmp_path):
    architecture("ViT-small", config())
    state = written(tmp_path, config()).state_dict()
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pt")
    if form == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        parallel = {f"module.{name}": tensor for name, tensor in state.items()}
        torch.save(state if form == "pt" else {"epoch": 3, "state_dict": parallel}, path)
    image, text = by_open_clip("ViT-small", pretrained=str(path))
    for model in ("ViT-small", json_of(tmp_path, config())):
        encoder = OpenClipImage(model=model, pretrained=str(path))
        close(encode(encoder, photograph()).pooled, image)
        close(encode(OpenClipText(model=model, pretrained=str(path)), *TEXTS).pooled, text)
        assert encoder.origin == {"model": f"{model}:{path}", "sha256": sha256(path)}


def tag(**more):
    imagenet = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    return imagenet | {"interpolation": "bilinear", "resize_mode": "squash"} | more


def as_arguments(tag):
    return {f"image_{key}": value for key, value in tag.items()}


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_a_tag_brings_its_weights_its_preprocessing_and_its_activation(
    quick_gelu, architecture, hub, tmp_path
):
    folder = cached(hub, "org/small")
    written(folder, config())
    (folder / "open_clip_config.json").unlink()
    architecture("ViT-small", config(), own_s1b=tag(hf_hub="org/small/", quick_gelu=quick_gelu), other=tag())
    image, text = by_open_clip("ViT-small", pretrained="own-S1B", force_quick_gelu=quick_gelu)
    options = {"model": "ViT-small", "pretrained": "own-S1B"}
    encoder = OpenClipImage(**options)
    close(encode(encoder, photograph()).pooled, image)
    close(encode(OpenClipText(**options), *TEXTS).pooled, text)
    digest = sha256(folder / "open_clip_model.safetensors")
    assert encoder.origin == {"model": "ViT-small:own-S1B", "revision": COMMIT, "sha256": digest}
    assert OpenClipText(**options, revision=COMMIT).origin == encoder.origin
    _, _, transform = open_clip.create_model_and_transforms("ViT-small", **as_arguments(tag()))
    assert torch.equal(encoder.processor.decode(photograph()), transform(photograph()))


def test_the_activation_decides_what_comes_out(architecture, tmp_path):
    written(tmp_path, config())
    architecture(
        "ViT-small", config(), quick=tag(file=str(tmp_path / "open_clip_model.safetensors"), quick_gelu=True)
    )
    quick = encode(OpenClipImage(model="ViT-small", pretrained="quick"), photograph()).pooled
    architecture("ViT-small", config(), slow=tag(file=str(tmp_path / "open_clip_model.safetensors")))
    slow = encode(OpenClipImage(model="ViT-small", pretrained="slow"), photograph()).pooled
    assert (quick - slow).abs().max() > 1e-3


def test_an_architecture_that_has_the_activation_itself_keeps_it(architecture, tmp_path):
    cfg = config("quickgelu")
    written(tmp_path, cfg)
    weights = str(tmp_path / "open_clip_model.safetensors")
    architecture("roberta-small", cfg, said_nothing=tag(file=weights))  # as roberta-ViT-B-32 has it
    image, _ = by_open_clip(f"local-dir:{tmp_path}", **as_arguments(tag()))
    close(encode(OpenClipImage(model="roberta-small"), photograph()).pooled, image)


def test_a_file_is_preprocessed_for_as_all_known_weights_of_its_architecture_are(architecture, tmp_path):
    written(tmp_path, config())
    options = {"model": "ViT-small", "pretrained": str(tmp_path)}
    architecture("ViT-small", config(), one=tag(hf_hub="a/"), two=tag(hf_hub="b/"))
    assert OpenClipImage(**options).processor.mean == tag()["mean"]
    architecture("ViT-small", config(), one=tag(hf_hub="a/"), two=tag(mean=(0.5, 0.5, 0.5), hf_hub="b/"))
    assert OpenClipImage(**options).processor.mean == open_clip.OPENAI_DATASET_MEAN
    architecture("ViT-small", config())
    assert OpenClipImage(**options).processor.mean == open_clip.OPENAI_DATASET_MEAN


def test_a_file_beside_a_configuration_with_another_activation_is_refused(architecture, tmp_path):
    written(tmp_path, config("quickgelu"))
    architecture("ViT-small", config())
    architecture("ViT-small-quickgelu", config("quickgelu"))
    with pytest.raises(
        ValueError, match=rf"open_clip_config.json and ViT-small differ in quick_gelu, .*{tmp_path}"
    ):
        OpenClipImage(model="ViT-small", pretrained=str(tmp_path / "open_clip_model.safetensors"))
    one = OpenClipImage(model="ViT-small-quickgelu", pretrained=str(tmp_path))
    other = OpenClipImage(model=str(tmp_path))
    assert torch.equal(encode(one, photograph()).pooled, encode(other, photograph()).pooled)


def test_a_model_of_the_hub_can_be_pinned(hub):
    folder = cached(hub, "org/small", commit="a" * 40)
    written(folder, config(), mean=[0.1, 0.2, 0.3], resize_mode="longest")
    image, _ = by_open_clip(f"local-dir:{folder}")
    shutil.copytree(folder, folder.parent / COMMIT)
    (folder / "open_clip_model.safetensors").write_bytes(b"the head of main, which is not asked for")
    encoder = OpenClipImage(model="hf-hub:org/small", revision=COMMIT)
    close(encode(encoder, photograph()).pooled, image)
    assert encoder.origin["model"] == "hf-hub:org/small"
    assert encoder.origin["revision"] == COMMIT
    assert encoder.processor.mean == (0.1, 0.2, 0.3)
    with pytest.raises(
        ValueError, match=r"cannot load the weights /.*/open_clip_model.safetensors into hf-hub:org/small"
    ):
        OpenClipImage(model="hf-hub:org/small")
    assert OpenClipImage(model="hf-hub:org/small", pretrained=False).origin == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"},
            r"cannot find the weights of laion/CLIP-ViT-B-32-laion2B-s34B-b79K, in the cache or on the Hub; "
            r"fetch it with `hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K` where there is a network, or",
        ),
        ({"model": "ViTamin-B", "revision": "v2"}, r"find pytorch_model.bin of .*ViTamin-B --revision v2`"),
        ({"model": "hf-hub:a/b"}, r"cannot find open_clip_config.json of a/b, .*`hf download a/b`"),
        (
            {"model": "ViT-B-32"},
            r"which weights of ViT-B-32\? Set pretrained to one of: openai, laion400m_e31, ",
        ),
        (
            {"model": "ViT-M-16"},
            r"which weights of ViT-M-16\? Set pretrained to one of: none are known; or to",
        ),
        (
            {"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79"},
            r"pretrained is 'laion2b_s34b_b79', which is neither a file nor weights of ViT-B-32; did you "
            r"mean laion2b_s34b_b79k\? known: openai, ",
        ),
        (
            {"model": "fusion-tiny", "pretrained": "none.pt"},
            r"neither a file nor weights of fusion-tiny; known: none",
        ),
        (
            {"model": "ViT-B-32", "pretrained": False, "revision": "v2"},
            r"revision is 'v2', but an architecture with random weights has none; only models on the Hub do",
        ),
        ({"model": "ViT-B32"}, r"open_clip has no model 'ViT-B32'; did you mean ViT-B-32"),
        (
            {"model": "qqqqqqq"},
            r"open_clip.list_models\(\) names them all\. A model on the Hub is hf-hub:ORG/NAME",
        ),
        (
            {"model": "local-dir:none"},
            r"there is no none/open_clip_config.json; an open_clip model in a folder",
        ),
    ],
)
def test_options_that_name_nothing_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        OpenClipImage(**options)


def test_a_tag_whose_file_is_at_an_address_that_cannot_be_reached_is_explained(architecture, monkeypatch):
    architecture("ViT-small", config(), away=tag(url="http://127.0.0.1:9/mlfoundations/x-0123.pt"))
    with pytest.raises(
        ValueError, match=r"of this tag in the cache or at http://127.0.0.1:9/.*; fetch that file and give"
    ):
        OpenClipImage(model="ViT-small")
    with pytest.raises(ValueError, match="revision is 'v2', but this tag has none"):
        OpenClipImage(model="ViT-small", revision="v2")


def test_a_folder_that_holds_no_model_is_explained(tmp_path):
    path = tmp_path / "open_clip_config.json"
    for said, reason in (
        ("{]", "JSONDecodeError"),
        ('{"model_type": "clip"}', "KeyError"),
        ("[1]", "AttributeError"),
    ):
        path.write_text(said)
        with pytest.raises(
            ValueError, match=f"open_clip_config.json is not the configuration of an open_clip .*{reason}"
        ):
            OpenClipImage(model=str(tmp_path))
    path.write_text(json.dumps({"model_cfg": config()}))
    with pytest.raises(
        ValueError, match="holds no weights; say which file with pretrained: PATH, or pretrained: false"
    ):
        OpenClipImage(model=str(tmp_path))
    for name in ("one.pth", "two.pth"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"holds one.pth, two.pth; say which file"):
        OpenClipImage(model=str(tmp_path))
    with pytest.raises(ValueError, match=r"pretrained: there is no file 'no.pt'"):
        OpenClipImage(model=str(tmp_path), pretrained="no.pt")
    with pytest.raises(ValueError, match=r"revision is 'v2', but /.* has none; only models on the Hub do"):
        OpenClipImage(model=str(tmp_path), revision="v2")
    path.write_text(json.dumps({"model_cfg": config(wings=2)}))
    with pytest.raises(ValueError, match=r"open_clip cannot build /.*: .*'wings'"):
        OpenClipImage(model=str(tmp_path), pretrained=False)
    with pytest.raises(
        ValueError, match="an architecture has no weights of its own; set pretrained to their path"
    ):
        OpenClipImage(model=json_of(tmp_path, config()))


def test_weights_of_another_model_are_refused(tmp_path):
    written(tmp_path, config())
    cfg = config(vision_cfg=VIT | {"layers": 3})
    with pytest.raises(
        ValueError, match=r"open_clip_model.safetensors into /.*.json: Error\(s\) in loading state_dict"
    ):
        OpenClipImage(model=json_of(tmp_path, cfg), pretrained=str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "tower", "message"),
    [
        (
            {"vision_cfg": VIT | {"pool_type": "none"}},
            OpenClipImage,
            "image tower of .* no vector for a whole image",
        ),
        (
            {"text_cfg": TEXT | {"pool_type": "none"}},
            OpenClipText,
            "text tower of .* no vector for a whole text",
        ),
    ],
)
def test_a_tower_that_does_not_pool_is_refused(changes, tower, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        tower(model=json_of(tmp_path, config(**changes)), pretrained=False)


# one checkpoint, several encoders


@pytest.fixture
def loads(monkeypatch):
    """Count how often open_clip reads weights."""
    read, count = open_clip.load_checkpoint, []
    monkeypatch.setattr(open_clip, "load_checkpoint", lambda *a, **k: (count.append(a[1]), read(*a, **k))[1])
    return count


def test_both_towers_of_a_model_read_the_weights_once(loads, tmp_path):
    written(tmp_path, config())
    with sharing():
        image, text = OpenClipImage(model=str(tmp_path)), OpenClipText(model=str(tmp_path))
        assert len(loads) == 1
    assert image.origin == text.origin
    assert not {id(one) for one in image.parameters()} & {id(one) for one in text.parameters()}
    OpenClipText(model=str(tmp_path))
    assert len(loads) == 2


def test_other_weights_are_read_for_themselves(loads, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written(tmp_path / name, config(), seed=len(name) + ord(name[0]))
    with sharing():
        one, two = OpenClipImage(model=str(tmp_path / "one")), OpenClipImage(model=str(tmp_path / "two"))
    assert len(loads) == 2
    assert not torch.equal(one.tower.proj, two.tower.proj)


def test_two_encoders_with_the_same_tower_share_no_weights(loads, tmp_path):
    written(tmp_path, config())
    with sharing():
        one, two = OpenClipImage(model=str(tmp_path)), OpenClipImage(model=str(tmp_path))
    assert len(loads) == 1
    assert torch.equal(one.tower.proj, two.tower.proj)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.zero_()
    assert all(parameter.any() for name, parameter in two.named_parameters() if name.endswith("weight"))


# the contract, and saved runs


@pytest.mark.parametrize("component", fusion_encoders(), ids=lambda component: component.name)
def test_a_component_keeps_the_contract_in_its_tiny_form(component):
    assert set(component.tiny) <= set(component.options())
    samples = {"image": pictures(), "text": list(TEXTS)}[component.modality]
    passed = check_encoder(component.resolve(), samples, **component.tiny)
    assert "its assets and saved weights give the same vectors" in passed


@pytest.mark.parametrize("kind", ["clipa", "resnet", "siglip", "eva", "convnext", "coca"])
def test_every_kind_of_image_tower_keeps_the_contract(kind, tmp_path):
    encoder = OpenClipImage(model=json_of(tmp_path, config(kind)), pretrained=False)
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    check_encoder(OpenClipImage, pictures(), model=json_of(tmp_path, config(kind)), pretrained=False)


@pytest.mark.parametrize("kind", ["clipa", "siglip", "coca"])
def test_every_kind_of_text_tower_keeps_the_contract(kind, tmp_path):
    cfg = config(kind, vision_cfg=VIT)
    encoder = OpenClipText(model=json_of(tmp_path, cfg), pretrained=False)
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    check_encoder(OpenClipText, list(TEXTS), model=json_of(tmp_path, cfg), pretrained=False)


@pytest.mark.parametrize(
    "kind", ["clip", "clipa", "siglip", "convnext", "resnet", "coca", "mean", "class token"]
)
def test_a_saved_encoder_is_built_again_from_its_assets_alone(kind, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    if kind in HF_KINDS:
        with_text_model(source, kind)
    else:
        written(source, config(kind))
    kept = []
    for build, samples in ((OpenClipImage, pictures()), (OpenClipText, TEXTS)):
        encoder, assets = build(model=str(source)), tmp_path / build.__name__
        assets.mkdir()
        encoder.save_assets(assets)
        kept.append((build, assets, samples, encoder.state_dict(), encode(encoder, *samples)))
    shutil.rmtree(source)
    for build, assets, samples, state, before in kept:
        assert sum(path.stat().st_size for path in assets.iterdir()) < 20_000
        again = build(assets, model=str(source))
        assert again.origin == {}
        again.load_state_dict(state)
        after = encode(again, *samples)
        assert all(
            one is two is None or torch.equal(one, two) for one, two in zip(before, after, strict=True)
        )


def test_the_activation_of_a_tag_is_saved_with_the_encoder(architecture, tmp_path):
    written(tmp_path, config())
    weights = str(tmp_path / "open_clip_model.safetensors")
    architecture("ViT-small", config(), quick=tag(file=weights, quick_gelu=True))
    encoder, assets = OpenClipImage(model="ViT-small"), tmp_path / "assets"
    assets.mkdir()
    encoder.save_assets(assets)
    again = OpenClipImage(assets, model="ViT-small")
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(encode(again, photograph()).pooled, encode(encoder, photograph()).pooled)


@pytest.mark.parametrize("pretrained", [True, False])
def test_pretrained_statistics_of_batchnorm_stay_in_training_and_others_are_learnt(pretrained, tmp_path):
    written(tmp_path, config("resnet"))
    encoder = OpenClipImage(model=str(tmp_path), pretrained=pretrained).train()
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers() if "running" in name}
    encoder(torch.randn(4, 3, 64, 64))
    assert len(before) > 10
    same = [torch.equal(before[name], buffer) for name, buffer in encoder.named_buffers() if name in before]
    assert all(same) if pretrained else not any(same)
    assert encoder.training


# processors


def test_processors_are_small_and_give_the_same_bits_after_pickling():
    for build, raw, most in ((OpenClipImage, photograph(), 1000), (OpenClipText, TEXTS[2], 4_000_000)):
        processor = build(model="fusion-tiny", pretrained=False).processor
        before = processor.decode(raw)
        pickled = pickle.dumps(processor)
        assert len(pickled) < most
        assert torch.equal(pickle.loads(pickled).decode(raw), before)


def test_a_very_long_text_is_cut_before_the_work_and_gives_the_same_tokens():
    processor = OpenClipText(model="fusion-tiny", pretrained=False).processor
    words = "a rather long tale of " * 200
    assert torch.equal(processor.decode(words * 200), open_clip.SimpleTokenizer(context_length=32)(words)[0])


def test_tokens_are_not_dropped_at_random(tmp_path):
    cfg = config(text_cfg=TEXT | {"tokenizer_kwargs": {"reduction_mask": "shuffle"}})
    processor = OpenClipText(model=json_of(tmp_path, cfg), pretrained=False).processor
    assert torch.equal(processor.decode(TEXTS[2]), open_clip.SimpleTokenizer(context_length=32)(TEXTS[2])[0])


def test_the_projection_of_a_tower_is_its_last_layer():
    for encoder, name in (
        (OpenClipImage(model="fusion-tiny", pretrained=False), "tower.proj"),
        (OpenClipText(model="fusion-tiny", pretrained=False), "tower.text_projection"),
    ):
        groups = encoder.layer_groups()
        assert [id(part) for part in groups[-1]] == [id(encoder.get_parameter(name))]
        assert sum(len(group) for group in groups) == len(list(encoder.parameters()))
