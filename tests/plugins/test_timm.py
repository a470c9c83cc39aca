"""The plugin fusion_timm: the same numbers as timm itself, from every place where weights can be."""

import json
import pickle
import re
import shutil
from typing import NamedTuple

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from fusion_timm import fusion_encoders
from fusion_timm.image import TimmImage
from PIL import Image

from fusion.testing import check_encoder
from tests.plugins.pretrained import COMMIT, cached, close, encode, offline, photograph, pictures, sha256


class Family(NamedTuple):
    options: dict  # what makes it small
    vector: int  # width of what its classifier reads
    cells: str  # the tokens in what forward_features gives
    width: int  # of the map


MAP, LAST = "n d h w -> n (h w) d", "n h w d -> n (h w) d"
FAMILIES = {
    "vgg11": Family({"mlp_ratio": 0.01}, 4096, MAP, 512),
    "test_resnet": Family({}, 96, MAP, 96),
    "test_convnext": Family({}, 64, MAP, 64),
    "test_vit": Family({}, 64, "class token", 64),
    "test_mambaout": Family({}, 256, LAST, 64),
}
FAMILY = pytest.mark.parametrize("name", FAMILIES)


def cells(features, how):
    """The tokens of a map, one by one."""
    if how == "class token":
        return features[:, 1:]
    d, h, w = (1, 2, 3) if how == MAP else (3, 1, 2)
    places = [(i, j) for i in range(features.shape[h]) for j in range(features.shape[w])]
    return torch.stack([features.movedim((d, h, w), (3, 1, 2))[:, i, j] for i, j in places], 1)


def made(name, classes=10, **options):
    """A model of timm in which every number is random, the statistics of BatchNorm, too."""
    torch.manual_seed(0)
    small = FAMILIES[name].options if name in FAMILIES else {}
    model = timm.create_model(name, num_classes=classes, **small, **options).eval()
    for key, tensor in model.state_dict().items():
        if "running_var" in key:
            tensor.uniform_(0.5, 2)
        elif "running_mean" in key or key.endswith("bias"):
            tensor.normal_(std=0.1)
    return model


def saved(name, folder, **options):
    model = made(name, **options)
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    return model


def by_timm(model, image):
    """What timm itself makes of an image: its feature map and the vector that its classifier reads."""
    config = timm.data.resolve_model_data_config(model)
    x = timm.data.create_transform(**config, is_training=False)(image)[None]
    with torch.no_grad():
        features = model.forward_features(x)
        return features, model.forward_head(features, pre_logits=True)


@pytest.fixture(autouse=True)
def hub(tmp_path_factory, monkeypatch):
    """An empty cache of the Hub, and no network."""
    folder = tmp_path_factory.mktemp("hub")
    offline(monkeypatch, folder)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))
    return folder


# the same as timm


@FAMILY
def test_a_folder_that_timm_wrote_gives_the_vector_and_the_map_that_timm_gives(name, tmp_path):
    family = FAMILIES[name]
    saved(name, tmp_path)
    features, vector = by_timm(timm.create_model(f"local-dir:{tmp_path}", True).eval(), photograph())
    encoder = TimmImage(model=str(tmp_path))
    pooled, tokens, mask = encode(encoder, photograph())
    close(pooled, vector)
    assert encoder.dim == pooled.shape[1] == family.vector
    assert mask is None
    if family.vector == family.width:
        close(tokens, cells(features, family.cells))
    else:
        assert tokens is None


@FAMILY
def test_mean_pooling_is_the_mean_of_the_tokens(name, tmp_path):
    family = FAMILIES[name]
    saved(name, tmp_path)
    features, _ = by_timm(timm.create_model(f"local-dir:{tmp_path}", True).eval(), photograph())
    encoder = TimmImage(model=f"local-dir:{tmp_path}", pooling="mean")
    pooled, tokens, _ = encode(encoder, photograph())
    close(tokens, cells(features, family.cells))
    close(pooled, cells(features, family.cells).mean(1))
    assert encoder.dim == family.width


@pytest.mark.parametrize("classes", [1000, 7, 0], ids="{} classes".format)
@pytest.mark.parametrize("form", ["safetensors", "pt", "a training checkpoint"])
def test_a_weights_file_of_a_named_architecture_gives_what_timm_gives(form, classes, tmp_path):
    model = made("test_resnet", classes)
    _, vector = by_timm(model, photograph())
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pt")
    if form == "safetensors":
        safetensors.torch.save_file(model.state_dict(), path)
    else:
        state = model.state_dict()
        torch.save(state if form == "pt" else {"epoch": 3, "state_dict": state}, path)
    encoder = TimmImage(model="test_resnet", pretrained=str(path))
    close(encode(encoder, photograph()).pooled, vector)
    assert encoder.origin == {"model": f"test_resnet:{path}", "sha256": sha256(path)}


def test_weights_that_others_named_are_converted_as_timm_does_it(tmp_path):
    model = made("test_convnext", 1000)
    _, vector = by_timm(model, photograph())
    names = {  # as the authors of ConvNeXt have them; stages.1.blocks.0 is stages.1.0 there
        r"^stem\.": "downsample_layers.0.",
        r"^stages\.(\d)\.downsample": r"downsample_layers.\1",
        r"\.blocks": "",
        "conv_dw": "dwconv",
        r"mlp\.fc": "pwconv",
        r"head\.fc": "head",
        r"head\.norm": "norm",
    }
    state = {}
    for key, tensor in model.state_dict().items():
        for theirs, ours in names.items():
            key = re.sub(theirs, ours, key)
        state[key] = tensor
    assert not any("blocks" in key or "head.fc" in key for key in state)
    torch.save({"model": state}, tmp_path / "theirs.pth")
    encoder = TimmImage(model="test_convnext", pretrained=str(tmp_path / "theirs.pth"))
    close(encode(encoder, photograph()).pooled, vector)


def test_weights_without_a_head_load_where_timm_says_that_they_have_none(tmp_path):
    model = made("convnextv2_atto.fcmae", 0)
    features, _ = by_timm(model, photograph())
    state = {key: tensor for key, tensor in model.state_dict().items() if not key.startswith("head")}
    safetensors.torch.save_file(state, tmp_path / "fcmae.safetensors")
    options = {"model": "convnextv2_atto.fcmae", "pretrained": str(tmp_path), "pooling": "mean"}
    close(encode(TimmImage(**options), photograph()).pooled, features.mean((2, 3)))
    with pytest.raises(
        ValueError, match=r"fcmae.safetensors do not fit convnextv2_atto: .*Missing key.*head.norm"
    ):
        TimmImage(**options | {"model": "convnextv2_atto.fcmae_ft_in1k"})


def test_the_preprocessing_is_that_of_the_named_weights():
    seen = {}
    for model in ("vit_tiny_patch16_224.augreg_in21k", "test_resnet.r160_in1k", "convnext_atto.d2_in1k"):
        processor = TimmImage(model=model, pretrained=False).processor
        config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(model).to_dict())
        for raw in (*pictures(), photograph()):
            image = raw if isinstance(raw, Image.Image) else Image.fromarray(raw).convert("RGB")
            expected = timm.data.create_transform(**config, is_training=False)(image)
            assert torch.equal(processor.decode(raw), expected)
        seen[model] = processor.mean, processor.interpolation, processor.input_size, processor.crop_pct
    assert len(set(seen.values())) == 3


# places of weights


def test_weights_in_the_cache_of_the_hub_are_found_by_their_tag(hub):
    folder = cached(hub, "timm/test_resnet.r160_in1k")
    model = saved("test_resnet", folder, classes=1000)
    encoder = TimmImage(model="test_resnet")
    close(encode(encoder, photograph()).pooled, by_timm(model, photograph())[1])
    assert encoder.origin == {
        "model": "test_resnet.r160_in1k",
        "revision": COMMIT,
        "sha256": sha256(folder / "model.safetensors"),
    }
    assert TimmImage(model="test_resnet.r160_in1k", revision=COMMIT).origin == encoder.origin


def test_a_model_of_the_hub_can_be_pinned_in_two_ways(hub):
    folder = cached(hub, "someone/resnet", commit="a" * 40)
    timm.models.save_for_hf(made("test_resnet"), folder, safe_serialization=False)  # pytorch_model.bin
    shutil.copytree(folder, folder.parent / COMMIT)
    (folder / "pytorch_model.bin").write_bytes(b"the head of main, which is not asked for")
    for options in (
        {"model": f"hf-hub:someone/resnet@{COMMIT}"},
        {"model": "hf-hub:someone/resnet", "revision": COMMIT},
    ):
        encoder = TimmImage(**options)
        close(encode(encoder, photograph()).pooled, by_timm(made("test_resnet"), photograph())[1])
        assert encoder.origin["model"] == "hf-hub:someone/resnet"
        assert encoder.origin["revision"] == COMMIT
    with pytest.raises(ValueError, match=r"cannot read the weights .*pytorch_model.bin"):
        TimmImage(model="hf-hub:someone/resnet")
    with pytest.raises(
        ValueError, match=f"model says revision {COMMIT} and revision says main; give one of them"
    ):
        TimmImage(model=f"hf-hub:someone/resnet@{COMMIT}", revision="main")


def test_safetensors_are_taken_before_pickles(tmp_path):
    saved("test_resnet", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not read")
    assert TimmImage(model=str(tmp_path)).origin["sha256"] == sha256(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "vgg16"},
            r"cannot find pytorch_model.bin of timm/vgg16.tv_in1k, in the cache or on the Hub; fetch it with "
            r"`hf download timm/vgg16.tv_in1k` where there is a network, or give a local file or folder",
        ),
        ({"model": "vgg16", "revision": COMMIT}, f"`hf download timm/vgg16.tv_in1k --revision {COMMIT}`"),
        ({"model": "hf-hub:a/b"}, r"cannot find config.json of a/b, in the cache .*`hf download a/b`"),
        (
            {"model": "gcvit_xxtiny"},
            r"cannot find the weights of gcvit_xxtiny.in1k, as .*checkpoints/gcvit_xxtiny_224_.* or at "
            r"https://.*; fetch that file and give pretrained: PATH",
        ),
    ],
)
def test_weights_that_are_not_here_are_named_with_how_to_fetch_them(options, message, monkeypatch):
    monkeypatch.delattr(torch.hub, "download_url_to_file")  # HF_HUB_OFFLINE is set: not even tried
    with pytest.raises(ValueError, match=message):
        TimmImage(**options)


def test_weights_that_are_at_an_address_of_their_own_are_found_in_the_cache_of_torch(hub):
    model = made("gcvit_xxtiny", 1000)
    name = timm.get_pretrained_cfg("gcvit_xxtiny").url.rsplit("/", 1)[1]
    (hub / "checkpoints").mkdir()
    torch.save(model.state_dict(), hub / "checkpoints" / name)
    encoder = TimmImage(model="gcvit_xxtiny")
    close(encode(encoder, photograph()).pooled, by_timm(model, photograph())[1])
    assert encoder.origin == {"model": "gcvit_xxtiny.in1k", "sha256": sha256(hub / "checkpoints" / name)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet50x"}, r"timm has no model 'resnet50x'; did you mean resnet50"),
        (
            {"model": "qqqqqqqq"},
            r"timm.list_models\(\) names them all\. A model on the Hub is hf-hub:ORG/NAME",
        ),
        ({"model": "vgg16.nope"}, r"timm has no weights 'vgg16.nope'; it has: vgg16.tv_in1k"),
        ({"model": "resnet26d.nope"}, r"timm has no weights 'resnet26d.nope'; it has: resnet26d.bt_in1k"),
        (
            {"model": "seresnet18"},
            r"timm has no weights for seresnet18; it has: none\. Set pretrained to the path",
        ),
        (
            {"model": "vgg16", "pretrained": "no.pt"},
            r"there is no file 'no.pt'; give a weights file, true for",
        ),
        (
            {"model": "vgg16", "pretrained": False, "revision": "main"},
            r"revision is 'main', but random weights has none; only models on the Hub do",
        ),
        (
            {"model": "gcvit_tiny", "revision": "x"},
            r"revision is 'x', but gcvit_tiny.in1k, whose weights are at",
        ),
        (
            {"model": "local-dir:none"},
            r"there is no none/config.json; a timm model in a folder is config.json and",
        ),
    ],
)
def test_options_that_name_nothing_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        TimmImage(**options)


def write_config(folder, **said):
    (folder / "config.json").write_text(json.dumps(said))


def test_a_folder_that_holds_no_model_is_explained(tmp_path):
    (tmp_path / "config.json").write_text("{]")
    with pytest.raises(
        ValueError, match=r"config.json is not the configuration of a timm model: JSONDecodeError"
    ):
        TimmImage(model=str(tmp_path))
    write_config(tmp_path, model_type="bert")
    with pytest.raises(ValueError, match=r"config.json is not the configuration of a timm model: KeyError"):
        TimmImage(model=str(tmp_path))
    write_config(tmp_path, architecture="bert")
    with pytest.raises(ValueError, match=r"config.json: timm .* has no model 'bert'"):
        TimmImage(model=str(tmp_path))
    write_config(tmp_path, architecture="test_resnet", pretrained_cfg={})
    with pytest.raises(
        ValueError, match=r"holds no weights; say which file with pretrained: PATH, or pretrained: false"
    ):
        TimmImage(model=str(tmp_path))
    for name in ("one.pth", "two.pth"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"holds one.pth, two.pth; say which file"):
        TimmImage(model=str(tmp_path))
    write_config(tmp_path, architecture="test_resnet", pretrained_cfg={}, model_args={"wings": 2})
    with pytest.raises(ValueError, match=r"timm cannot build test_resnet with {'wings': 2}: .*wings"):
        TimmImage(model=str(tmp_path), pretrained=False)
    with pytest.raises(ValueError, match=r"revision is 'main', but /.* has none; only models on the Hub do"):
        TimmImage(model=str(tmp_path), revision="main")


@pytest.mark.parametrize("name", ["checkpoint_path", "pretrained", "features_only"])
def test_a_configuration_does_not_say_where_weights_are(name, tmp_path):
    write_config(tmp_path, architecture="test_vit", pretrained_cfg={}, model_args={name: "/other.pth"})
    with pytest.raises(ValueError, match=f"model_args has {name}, which is not for the file to say"):
        TimmImage(model=str(tmp_path), pretrained=False)


def test_weights_of_another_model_are_refused_and_not_left_out(tmp_path):
    safetensors.torch.save_file(made("test_vit").state_dict(), tmp_path / "vit.safetensors")
    with pytest.raises(
        ValueError, match=r"vit.safetensors do not fit test_resnet: Error\(s\) in loading state_dict"
    ):
        TimmImage(model="test_resnet", pretrained=str(tmp_path / "vit.safetensors"))


# what an encoder keeps, and what it can be asked for


def test_the_component_keeps_the_contract_in_its_tiny_form():
    [component] = fusion_encoders()
    assert set(component.tiny) <= set(component.options())
    assert "its assets and saved weights give the same vectors" in check_encoder(
        component.resolve(), pictures(), **component.tiny
    )


@pytest.mark.parametrize("pooling", ["head", "mean"])
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit3", "test_mambaout"])
def test_every_kind_keeps_the_contract(name, pooling):
    check_encoder(TimmImage, pictures(), model=name, pretrained=False, pooling=pooling)


@pytest.mark.parametrize("pooling", ["head", "mean"])
def test_vgg_keeps_the_contract_with_small_images(pooling, tmp_path):
    saved("vgg11", tmp_path)
    check_encoder(TimmImage, pictures(), model=str(tmp_path), pooling=pooling, size=32)


def test_what_the_vector_does_not_need_is_dropped(tmp_path):
    saved("vgg11", tmp_path)
    parts = {
        pooling: {name.split(".")[1] for name in TimmImage(model=str(tmp_path), pooling=pooling).state_dict()}
        for pooling in ("head", "mean")
    }
    assert parts == {"head": {"features", "pre_logits"}, "mean": {"features"}}


def test_several_feature_maps_have_no_mean():
    with pytest.raises(ValueError, match="coat_tiny has several feature maps; use pooling: head"):
        TimmImage(model="coat_tiny", pretrained=False, pooling="mean")


@pytest.mark.parametrize("name", ["vgg11", "test_resnet", "test_convnext", "test_vit"])
def test_images_of_the_size_that_is_asked_for_are_not_resampled(name, tmp_path):
    saved(name, tmp_path)
    encoder = TimmImage(model=str(tmp_path), size=32)
    image = pictures()[2]
    config = timm.data.resolve_model_data_config(timm.create_model(f"local-dir:{tmp_path}"))
    expected = (image / np.float32(255) - config["mean"]) / config["std"]
    close(encoder.processor.decode(image), torch.tensor(expected, dtype=torch.float32).movedim(2, 0))
    assert encode(encoder, image).pooled.shape == (1, FAMILIES[name].vector)
    assert encoder.processor.decode(photograph()).shape == (3, 32, 32)


def test_weights_are_brought_to_another_size_as_timm_does_it(tmp_path):
    saved("vit_tiny_patch16_224", tmp_path)
    model = timm.create_model(f"local-dir:{tmp_path}", True, img_size=64).eval()
    encoder = TimmImage(model=str(tmp_path), size=64)
    x = encoder.processor.decode(photograph())[None]
    with torch.no_grad():
        pooled, tokens, _ = encoder.eval()(x)
        close(pooled, model.forward_head(model.forward_features(x), pre_logits=True))
    assert tokens.shape == (1, 16, 192)  # patches of 16 pixels


@pytest.mark.parametrize(("name", "size"), [("test_vit", 8), ("inception_v3", 32)])
def test_a_size_that_an_architecture_cannot_read_is_named(name, size):
    with pytest.raises(ValueError, match=rf"{name} cannot read images of {size} x {size} pixels: "):
        TimmImage(model=name, pretrained=False, size=size)


def statistics(encoder):
    return {name: buffer.clone() for name, buffer in encoder.named_buffers() if "running" in name}


def test_pretrained_statistics_stay_and_a_row_is_the_same_in_any_batch_of_training(tmp_path):
    saved("test_resnet", tmp_path)
    encoder = TimmImage(model=str(tmp_path))
    before, evaluated = statistics(encoder), encode(encoder, *pictures()).pooled
    encoder.train()
    assert encoder.training
    assert any(module.training for module in encoder.modules() if isinstance(module, torch.nn.Conv2d))
    x = encoder.processor.collate([encoder.processor.decode(raw) for raw in pictures()])["x"]
    close(encoder(x).pooled, evaluated)
    close(encoder(x[:1]).pooled, evaluated[:1])
    after = statistics(encoder)
    assert len(before) > 10
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(
        layer.weight.requires_grad for layer in encoder.modules() if isinstance(layer, torch.nn.BatchNorm2d)
    )


@pytest.mark.parametrize(
    ("batchnorm", "pretrained", "moves"),
    [("auto", True, False), ("auto", False, True), ("frozen", False, False), ("batch", True, True)],
)
def test_batchnorm_says_whether_training_moves_the_statistics(batchnorm, pretrained, moves, tmp_path):
    saved("test_resnet", tmp_path)
    encoder = TimmImage(model=str(tmp_path), pretrained=pretrained, batchnorm=batchnorm).train()
    before = statistics(encoder)
    encoder(torch.randn(4, *encoder.processor.input_size))
    assert len(before) > 10
    assert any(not torch.equal(before[name], buffer) for name, buffer in statistics(encoder).items()) == moves
    encoder.eval()
    assert not any(module.training for module in encoder.modules())


# saved runs


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vgg11", 32),
        ("test_resnet", None),
        ("test_convnext", None),
        ("vit_tiny_patch16_224", 32),
        ("test_mambaout", None),
    ],
)
def test_a_saved_encoder_is_built_again_from_its_assets_alone(name, size, tmp_path):
    source, assets = tmp_path / "source", tmp_path / "assets"
    saved(name, source)
    assets.mkdir()
    options = {"model": str(source), "size": size}
    encoder = TimmImage(**options)
    encoder.save_assets(assets)
    state, before = encoder.state_dict(), encode(encoder, *pictures())
    shutil.rmtree(source)
    assert sum(path.stat().st_size for path in assets.iterdir()) < 10_000
    again = TimmImage(assets, **options)
    assert again.origin == {}
    assert again.processor == encoder.processor
    again.load_state_dict(state)
    after = encode(again, *pictures())
    assert torch.equal(before.pooled, after.pooled)
    assert (before.tokens is None) == (after.tokens is None)
    assert before.tokens is None or torch.equal(before.tokens, after.tokens)


def test_assets_hold_no_places_of_weights_and_no_names_of_classes(hub, tmp_path):
    folder = cached(hub, "timm/test_resnet.r160_in1k")
    saved("test_resnet", folder, classes=1000)
    said = json.loads((folder / "config.json").read_text())
    said["pretrained_cfg"] |= {"label_names": ["cat"] * 1000, "file": "/home/me/weights"}
    (folder / "config.json").write_text(json.dumps(said))
    for model in ("test_resnet", str(folder)):
        TimmImage(model=model).save_assets(tmp_path)
        kept = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
        assert kept["mean"] == [0.5, 0.5, 0.5]
        assert not {"hf_hub_id", "url", "file", "label_names"} & set(kept)


def test_pretrained_weights_are_kept_once_in_memory(tmp_path):
    saved("test_resnet", tmp_path)
    assert "state_dict" not in TimmImage(model=str(tmp_path)).backbone.pretrained_cfg


def test_the_processor_is_small_and_gives_the_same_bits_after_pickling():
    processor = TimmImage(model="test_vit", pretrained=False).processor
    before = processor.decode(photograph())
    pickled = pickle.dumps(processor)
    assert len(pickled) < 1000
    assert torch.equal(pickle.loads(pickled).decode(photograph()), before)
