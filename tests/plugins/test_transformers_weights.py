"""Where fusion_transformers takes weights from: files, their hashes, what is refused, and what is shared."""

import hashlib
import json
import logging
import pickle
import threading

import pytest
import torch
import transformers as hf
from fusion_transformers.audio import HfAudio
from fusion_transformers.image import HfImage
from fusion_transformers.text import HfText
from fusion_transformers.weights import quiet
from safetensors.torch import load_file, save_file

from fusion.sharing import sharing
from tests.plugins.pretrained import sha256
from tests.plugins.transformers_families import FAMILIES, SOUNDS, encode, saved
from tests.plugins.transformers_folders import SMALL, TEXTS, bert_words, pictures, shake


class Planted:
    """Runs code where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def to_pickle(folder):
    """Turn a folder with safetensors into one of older times."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def in_shards(folder):
    bert_words(folder)
    model = shake(hf.BertModel(hf.BertConfig(**SMALL, vocab_size=60)))
    with quiet():
        model.save_pretrained(folder, max_shard_size="30KB")


# files and their hashes


def test_the_origin_of_weights_is_their_folder_and_their_hash(tmp_path):
    folder = saved("bert", tmp_path)
    encoder = HfText(model=folder)
    assert encoder.origin == {"model": folder, "sha256": sha256(tmp_path / "model.safetensors")}


def test_shards_are_read_and_hashed_together(tmp_path):
    in_shards(tmp_path)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 2
    encoder = HfText(model=str(tmp_path))
    listing = "".join(f"{sha256(shard)}  {shard.name}\n" for shard in shards)  # as sha256sum prints it
    assert encoder.origin["sha256"] == hashlib.sha256(listing.encode()).hexdigest()
    given = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    assert given.keys() > encoder.model.state_dict().keys()
    assert all(torch.equal(given[name], tensor) for name, tensor in encoder.model.state_dict().items())


def test_an_index_that_names_a_file_elsewhere_is_refused(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    in_shards(folder)
    index = folder / "model.safetensors.index.json"
    first = json.loads(index.read_text())["weight_map"]["embeddings.LayerNorm.bias"]
    (folder / first).rename(tmp_path / first)
    index.write_text(index.read_text().replace(first, f"../{first}"))
    with pytest.raises(ValueError, match=rf"index.json names '\.\./{first}', which is not a file beside it"):
        HfText(model=str(folder))


def test_pickled_tensors_are_read_without_running_anything(tmp_path):
    folder = saved("bert", tmp_path)
    before = encode(HfText(model=folder), TEXTS).pooled
    to_pickle(tmp_path)
    files, threads = sorted(tmp_path.iterdir()), threading.active_count()
    assert torch.equal(encode(HfText(model=folder), TEXTS).pooled, before)
    assert sorted(tmp_path.iterdir()) == files  # nothing is converted
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    "save_it", [torch.save, lambda what, path: path.write_bytes(pickle.dumps(what, protocol=2))]
)
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, save_it):
    folder, trace = saved("bert", tmp_path), tmp_path / "run"
    to_pickle(tmp_path)
    save_it({"embeddings": Planted(trace)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(
        ValueError, match=r"pytorch_model.bin cannot be read as a file of tensors and nothing"
    ):
        HfText(model=folder)
    assert not trace.exists()


def test_a_pickle_of_something_else_than_tensors_is_refused(tmp_path):
    folder = saved("bert", tmp_path)
    to_pickle(tmp_path)
    torch.save([torch.zeros(2)], tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"cannot be read as a file of tensors .*it holds a list, and not"):
        HfText(model=folder)


def test_safetensors_come_before_a_pickle(tmp_path):
    folder, trace = saved("bert", tmp_path), tmp_path / "run"
    torch.save(Planted(trace), tmp_path / "pytorch_model.bin")
    assert HfText(model=folder).origin["sha256"] == sha256(tmp_path / "model.safetensors")
    assert not trace.exists()


def test_a_damaged_file_is_named(tmp_path):
    folder = saved("bert", tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        ValueError, match=r"model.safetensors cannot be read as a file of tensors.*fetch it again"
    ):
        HfText(model=folder)


def test_weights_in_half_precision_are_brought_to_single(tmp_path):
    folder = saved("bert", tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    encoder = HfText(model=folder)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert encode(encoder, TEXTS).pooled.dtype == torch.float32


def test_names_of_older_times_are_understood(tmp_path):
    folder = saved("wav2vec2, layer norm", tmp_path)
    before = encode(HfAudio(model=folder), SOUNDS).pooled
    path = tmp_path / "model.safetensors"
    older = {
        ".parametrizations.weight.original0": ".weight_g",
        ".parametrizations.weight.original1": ".weight_v",
    }
    tensors = load_file(path)
    for new, old in older.items():
        tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
    assert sum(name.endswith(("weight_g", "weight_v")) for name in tensors) == 2
    save_file(tensors, path, {"format": "pt"})
    assert torch.equal(encode(HfAudio(model=folder), SOUNDS).pooled, before)


# weights that do not fit


def test_weights_that_are_missing_are_named(tmp_path):
    folder = saved("bert", tmp_path)
    path = tmp_path / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(path).items() if "layer.1." not in name}
    save_file(kept, path, {"format": "pt"})
    with pytest.raises(
        ValueError, match=r"lack encoder.layer.1.* and 13 more, which BertModel needs: another"
    ):
        HfText(model=folder)


def test_weights_of_another_shape_are_named(tmp_path):
    folder = saved("bert", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"vocab_size": 70}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ValueError, match=r"word_embeddings.weight has shape \(60, 32\), and BertModel expects \(70, 32\)"
    ):
        HfText(model=folder)


def test_a_folder_without_weights_says_what_to_fetch(tmp_path):
    folder = saved("bert", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(
        ValueError,
        match=r"holds no weights \(model.safetensors or pytorch_model.bin\); give a folder with all",
    ):
        HfText(model=folder)


# one load for all towers of a checkpoint


@pytest.fixture
def loads(monkeypatch):
    """The files that are read while a test runs."""
    files = []

    def counting(path):
        files.append(path)
        return load_file(path)

    monkeypatch.setattr("fusion_transformers.weights.load_file", counting)
    return files


def test_both_towers_of_a_checkpoint_share_one_load(tmp_path, loads):
    folder = saved("clip text", tmp_path)
    with sharing():
        text, image = HfText(model=folder), HfImage(model=folder)
    assert len(loads) == 1
    assert text.origin == image.origin
    for name, encoder, samples in (("clip text", text, TEXTS), ("clip image", image, pictures())):
        expected = FAMILIES[name].expected(tmp_path, samples[0])
        torch.testing.assert_close(encode(encoder, samples[:1]).pooled, expected, rtol=0, atol=1e-5)
    HfText(model=folder)
    assert len(loads) == 2  # outside nothing is kept


@pytest.mark.parametrize("form", ["safetensors", "pickle"])
def test_the_same_tower_twice_is_two_sets_of_weights(tmp_path, loads, form):
    folder = saved("clip image", tmp_path)
    if form == "pickle":
        to_pickle(tmp_path)
    with sharing():
        one, other = HfImage(model=folder), HfImage(model=folder, pooling="mean")
    assert len(loads) == (form == "safetensors")
    before = encode(other, pictures()).pooled
    with torch.no_grad():
        for tensor in [*one.parameters(), *one.buffers()]:
            tensor.zero_()
    assert torch.equal(encode(other, pictures()).pooled, before)


def test_training_leaves_the_file_as_it_was(tmp_path):
    folder = saved("bert", tmp_path)
    encoder, before = HfText(model=folder), sha256(tmp_path / "model.safetensors")
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    assert sha256(tmp_path / "model.safetensors") == before
    assert encode(HfText(model=folder), TEXTS).pooled.any()


def test_loading_prints_nothing(tmp_path, capfd, caplog, monkeypatch):
    folder = saved("bert", tmp_path)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    capfd.readouterr()
    HfText(model=folder)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    hf.BertModel.from_pretrained(folder)  # as usual again: of the head that it has no use for
    assert "UNEXPECTED" in caplog.text
    assert "Loading weights" in capfd.readouterr().err
