"""What fusion_transformers says of models that are not there, do not fit, or bring code; and of settings."""

import json
import os
import subprocess
import sys
from functools import partial

import pytest
import torch
import transformers as hf
from fusion_transformers.audio import HfAudio
from fusion_transformers.image import HfImage
from fusion_transformers.text import HfText
from PIL import Image
from safetensors.torch import save_file

from fusion import DataError
from tests.plugins.pretrained import COMMIT, cached, offline
from tests.plugins.transformers_families import encode, saved
from tests.plugins.transformers_folders import PATCHES, SMALL, TEXTS, pictures, save, save_bert

CODE = """
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class OwnConfig(PretrainedConfig):
    model_type = "own"

    def __init__(self, hidden_size=8, vocab_size=259, **more):
        self.hidden_size, self.vocab_size = hidden_size, vocab_size
        super().__init__(**more)


class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.table = nn.Embedding(config.vocab_size, config.hidden_size)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, input_ids, attention_mask=None):
        return BaseModelOutput(last_hidden_state=self.table(input_ids) + SHIFT)
"""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub, without a network; returns what puts a repository into it."""
    cache = tmp_path / "cache"
    offline(monkeypatch, cache)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    return partial(cached, cache)


# models that are not there


def test_a_model_of_the_hub_is_read_from_the_cache_and_knows_its_commit(hub):
    save_bert(hub("org/small-bert"))
    encoder = HfText(model="org/small-bert")
    assert encoder.origin["model"] == "org/small-bert"
    assert encoder.origin["revision"] == COMMIT
    assert encode(encoder, TEXTS).pooled.equal(
        encode(HfText(model="org/small-bert", revision=COMMIT), TEXTS).pooled
    )


def test_pickled_weights_of_the_hub_are_found(hub):
    folder = hub("org/old-bert")
    save_bert(folder)
    torch.save(hf.BertForMaskedLM.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert encode(HfText(model="org/old-bert"), TEXTS).pooled.shape == (4, 32)


@pytest.mark.parametrize("model", ["org/absent", "config:org/absent"])
def test_a_model_that_is_not_here_says_what_to_fetch(hub, model):
    with pytest.raises(
        ValueError, match=r"'org/absent' is not on this machine and cannot be.*run `hf download org/absent`"
    ) as error:
        HfText(model=model)
    assert "or give a local folder" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=f"run `hf download org/absent --revision {COMMIT}`"):
        HfText(model=model, revision=COMMIT)


def test_a_path_that_is_no_folder_is_named(hub):
    with pytest.raises(
        ValueError, match=r"there is no folder '\./models/no such', and no model of the hub is called"
    ):
        HfText(model="./models/no such")


def test_a_revision_is_for_the_hub_only(tmp_path):
    with pytest.raises(ValueError, match=r"revision is 'main', but the model is the folder .*: leave it out"):
        HfText(model=saved("bert", tmp_path), revision="main")
    with pytest.raises(
        ValueError, match="revision is 'main', but model is 'config:bert', which is in no repository"
    ):
        HfText(model="config:bert", revision="main")


def test_a_folder_without_a_configuration_is_named(tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path} holds no config.json that can be read"):
        HfText(model=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "encoder", "files", "said"),
    [
        (
            "bert",
            HfText,
            ["vocab.txt", "tokenizer.json"],
            "tokenizer that can be read .its vocabulary is not there",
        ),
        ("modernbert", HfText, ["vocab.txt", "tokenizer.json"], "tokenizer that can be read"),
        ("clip text", HfText, ["vocab.json", "merges.txt", "tokenizer.json"], "tokenizer that can be read"),
        ("vit", HfImage, ["preprocessor_config.json"], "ImageProcessor that can be read"),
        ("ast", HfAudio, ["preprocessor_config.json"], "FeatureExtractor that can be read"),
    ],
)
def test_a_model_without_what_reads_its_samples_is_named(tmp_path, name, encoder, files, said):
    folder = saved(name, tmp_path)
    for file in files:
        (tmp_path / file).unlink(missing_ok=True)
    with pytest.raises(
        ValueError, match=rf"{tmp_path} holds no {said}.*; give a folder with all that belongs"
    ):
        encoder(model=folder)


def test_random_weights_take_what_reads_their_samples_from_the_folder(tmp_path):
    encoder = HfText(model=f"config:{saved('bert', tmp_path)}")
    assert encoder.origin == {}
    assert encoder.processor.decode("a day")[0] == 2  # [CLS]
    (tmp_path / "vocab.txt").unlink(missing_ok=True)
    (tmp_path / "tokenizer.json").unlink()
    assert HfText(model=f"config:{tmp_path}").processor.decode("a day")[0] == 257  # of a token for each byte


# models that do not fit


def test_a_model_of_another_modality_is_named(tmp_path):
    with pytest.raises(
        ValueError, match="ViTModel reads pixel_values, this encoder gives input_ids; take hf-text, h"
    ):
        HfText(model=saved("vit", tmp_path))
    with pytest.raises(ValueError, match="BertModel reads input_ids, this encoder gives pixel_values"):
        HfImage(model="config:bert")


def test_several_models_in_one_of_which_none_is_known_are_named():
    with pytest.raises(
        ValueError, match=r"BlipConfig describes several models in one.*known: CLIPConfig, CLIPVision"
    ):
        HfImage(model="config:blip")
    with pytest.raises(
        ValueError, match="ClapConfig describes several models in one, of which none is known to fit"
    ):
        HfImage(model="config:clap")


def test_a_configuration_that_the_library_does_not_know_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "from-the-future"}')
    with pytest.raises(
        ValueError, match=f"of the type 'from-the-future', cannot be read by transformers {hf.__version__}"
    ):
        HfText(model=str(tmp_path))


def test_images_of_any_shape_are_not_stacked(tmp_path):
    folder = saved("vit", tmp_path)
    save(tmp_path, hf.BitImageProcessor(size={"shortest_edge": 32}, do_center_crop=False))
    with pytest.raises(
        ValueError, match=r"makes \(3, 32, 48\) of a wide image and \(3, 48, 32\) of a high one"
    ):
        HfImage(model=folder)


def test_a_class_token_that_is_not_known_is_named():
    with pytest.raises(
        ValueError, match="pooling is 'cls', but no class token of SiglipVisionConfig is known"
    ):
        HfImage(model="config:siglip_vision_model", settings=PATCHES, pooling="cls")


def test_patches_are_averaged_without_the_tokens_before_them(tmp_path):
    encoder = HfImage(model=saved("dinov3", tmp_path), pooling="mean")
    pooled, tokens, mask = encode(encoder, pictures())
    assert mask is None
    assert tokens.shape == (3, 16, 32)  # 4 x 4 patches, neither the class token nor the 3 registers
    torch.testing.assert_close(pooled, tokens.mean(1))


# settings


def test_settings_that_there_are_not_are_named():
    with pytest.raises(
        ValueError, match="settings: there is no setting 'hiden_size'; did you mean 'hidden_size'"
    ):
        HfText(model="config:bert", settings={"hiden_size": 32})
    with pytest.raises(ValueError, match=r"settings.text_config: there is no setting 'zzz'"):
        HfText(model="config:clip", settings={"text_config": {"zzz": 1}})


def test_settings_that_the_library_refuses_are_named():
    with pytest.raises(ValueError, match=r"settings do not make a bert: .*'hidden_size'.*expected int"):
        HfText(model="config:bert", settings={"hidden_size": "wide"})


@pytest.mark.parametrize("model", ["org/some-bert", "config:org/some-bert"])
def test_settings_are_for_a_type_of_model(model):
    with pytest.raises(
        ValueError, match=f"settings are for a type of model, such as .*; model is '{model}', which"
    ):
        HfText(model=model, settings=SMALL)


def test_random_weights_come_from_the_seed():
    def vectors(seed):
        torch.manual_seed(seed)
        return encode(HfText(model="config:bert", settings=SMALL), TEXTS).pooled

    assert torch.equal(vectors(1), vectors(1))
    assert not torch.equal(vectors(1), vectors(2))


# code that comes with a model


@pytest.mark.parametrize(
    "remote_code",
    [
        "true",
        "org/code",
        "org/code@main",
        f"org/code@{COMMIT[:12]}",
        f"code@{COMMIT}",
        f"org/code@{COMMIT.upper()}",
    ],
)
def test_code_without_a_repository_at_a_full_commit_is_refused(remote_code):
    with pytest.raises(
        ValueError, match=f"remote_code is '{remote_code}'; code is run only from a repository at a full"
    ):
        HfText(model="config:bert", remote_code=remote_code)


def own_model(folder, repository=""):
    """A model of a type that the library does not know, which says where its code is."""
    classes = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    config = {"model_type": "own", "hidden_size": 8, "vocab_size": 60}
    config["auto_map"] = {kind: repository + name for kind, name in classes.items()}
    save_bert(folder)
    (folder / "config.json").write_text(json.dumps(config))
    table = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    save_file({"table.weight": table}, folder / "model.safetensors", {"format": "pt"})
    return table


@pytest.mark.parametrize("repository", ["", "org/other--"])
def test_code_is_run_from_the_repository_and_commit_that_are_named(hub, repository):
    weights, code = hub("org/weights"), hub("org/code")
    table = own_model(weights, repository)
    (weights / "own.py").write_text("raise RuntimeError('the code beside the weights was run')")
    (code / "own.py").write_text(CODE.replace("SHIFT", "1.0"))
    encoder = HfText(model="org/weights", remote_code=f"org/code@{COMMIT}")
    ids = encoder.processor.decode("a day")
    torch.testing.assert_close(encode(encoder, ["a day"]).pooled[0], table[ids].mean(0) + 1)
    assert encoder.dim == 8


def test_a_folder_is_not_taken_for_a_repository_at_a_commit(hub, tmp_path, monkeypatch):
    own_model(hub("org/weights"))
    (hub("org/code") / "own.py").write_text(CODE.replace("SHIFT", "1.0"))
    (tmp_path / "org" / "code").mkdir(parents=True)
    (tmp_path / "org" / "code" / "own.py").write_text("raise RuntimeError('code of the folder was run')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="a folder 'org/code' here, which may not be that repository"):
        HfText(model="org/weights", remote_code=f"org/code@{COMMIT}")


def test_code_is_not_run_when_the_recipe_does_not_name_it(hub):
    weights = hub("org/weights")
    own_model(weights)
    (weights / "own.py").write_text("raise RuntimeError('code was run')")
    with pytest.raises(
        ValueError, match="'org/weights' is code of its own; to run that here, name it with remote_code"
    ):
        HfText(model="org/weights")
    with pytest.raises(
        ValueError,
        match=f"of 'org/absent' is not here and.*`hf download org/absent --revision {COMMIT}`",
    ):
        HfText(model="org/weights", remote_code=f"org/absent@{COMMIT}")


def test_a_kernel_that_a_configuration_names_is_not_fetched(tmp_path):
    save_bert(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"attn_implementation": "org/kernel"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert HfText(model=str(tmp_path)).model.config._attn_implementation == "sdpa"


def test_code_that_a_configuration_does_not_need_is_named(hub):
    save_bert(hub("org/small-bert"))
    with pytest.raises(
        ValueError, match="remote_code is 'org/code', but the configuration names no code for AutoConfig"
    ):
        HfText(model="org/small-bert", remote_code=f"org/code@{COMMIT}")


def test_importing_the_encoders_leaves_the_environment_as_it_is():
    code = (
        "import os; before = dict(os.environ); import fusion_transformers.text, fusion_transformers.audio, "
        "fusion_transformers.image; import sys; sys.exit(before != dict(os.environ))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ)).returncode == 0


@pytest.mark.parametrize("size", [(101, 1), (2, 5000)])
def test_an_image_that_is_a_mere_line_is_a_bad_row(size):
    processor = HfImage(model="config:vit", settings=PATCHES).processor
    with pytest.raises(DataError, match=rf"image of {size[0]} x {size[1]} pixels; sides of up to 100 to 1"):
        processor.decode(Image.new("RGB", size))
    assert processor.decode(Image.new("RGB", (100, 1))).ndim == 3
