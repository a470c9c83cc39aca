"""A payload in every kind of file that other libraries would unpickle, and code beside a model."""

import io
import json
import pickle
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fusion_datasets.source import open_rows
from fusion_timm.checkpoint import read as read_timm
from fusion_transformers.weights import read as read_transformers
from transformers import BertConfig, BertModel

from fusion import DataError, FusionError, Registry, decode, read_recipe
from fusion.build import build_model
from tests.safety.conftest import Payload

RECIPE: dict[str, Any] = {
    "sources": {"rows": {"name": "digits", "view": "image-text"}},
    "objectives": {"align": {"name": "contrastive"}},
    "train": {"steps": 1},
}


def saved(what: Any, **how: Any) -> bytes:
    file = io.BytesIO()
    torch.save(what, file, **how)
    return file.getvalue()


def archive(content: bytes) -> bytes:
    """Return the zip that torch writes, with this pickle in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as files:
        files.writestr("archive/data.pkl", content)
        files.writestr("archive/version", "3")
    return file.getvalue()


def script() -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and still opened by torch.load
        file = io.BytesIO()
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    return file.getvalue()


FORMS: dict[str, Callable[[Payload], bytes]] = {
    "a pickle": lambda payload: pickle.dumps(payload, 2),
    "torch.save": lambda payload: saved({"weight": payload}),
    "torch.save of old": lambda payload: saved({"weight": payload}, _use_new_zipfile_serialization=False),
    "a zip around a pickle": lambda payload: archive(pickle.dumps(payload, 2)),
    "getattr": lambda payload: b"\x80\x02cbuiltins\ngetattr\n(cos\nX\x06\x00\x00\x00systemtR.",
    "eval": lambda payload: b"cbuiltins\neval\n(X\x03\x00\x00\x001+1tR.",
    "TorchScript": lambda payload: script(),
    "nothing": lambda payload: b"",
}


@pytest.fixture(params=list(FORMS))
def checkpoint(request: pytest.FixtureRequest, payload: Payload) -> bytes:
    return FORMS[request.param](payload)


@pytest.fixture
def build(tmp_path: Path, registry: Registry) -> Callable[[str, dict[str, Any]], Any]:
    def built(modality: str, encoder: dict[str, Any]) -> Any:
        other = {"image": {"name": "scratch-image"}, "text": {"name": "scratch-text"}}
        file = tmp_path / "recipe.yaml"
        file.write_text(json.dumps({**RECIPE, "encoders": {**other, modality: encoder}}))
        return build_model(read_recipe(file, registry=registry), registry)

    return built


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    folder = tmp_path / "bert"
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=6, **sizes)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return folder


@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:'torch.load' received a zip file")
def test_no_checkpoint_of_transformers_runs(
    checkpoint: bytes, bert: Path, build: Callable[..., Any], tmp_path: Path
) -> None:
    (bert / "model.safetensors").unlink()
    (bert / "pytorch_model.bin").write_bytes(checkpoint)
    with pytest.raises(FusionError, match=r"cannot be read as a file of tensors and nothing else"):
        build("text", {"name": "hf-text", "model": str(bert)})


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "weights.pth"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:'torch.load' received a zip file")
def test_no_checkpoint_of_timm_runs(
    name: str, checkpoint: bytes, build: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "resnet10t", "num_classes": 2}')
    (tmp_path / name).write_bytes(checkpoint)
    with pytest.raises(FusionError, match="cannot read the weights"):
        build("image", {"name": "timm-image", "model": f"local-dir:{tmp_path}"})


@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:'torch.load' received a zip file")
def test_no_checkpoint_of_open_clip_runs(
    checkpoint: bytes, build: Callable[..., Any], tmp_path: Path
) -> None:
    tower = {"layers": 1, "width": 8, "head_width": 8, "patch_size": 8, "image_size": 16}
    text = {"context_length": 8, "vocab_size": 100, "width": 8, "heads": 1, "layers": 1}
    config = {"embed_dim": 8, "vision_cfg": tower, "text_cfg": text}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(checkpoint)
    with pytest.raises(FusionError, match="cannot load the weights"):
        build("image", {"name": "openclip-image", "model": f"local-dir:{tmp_path}"})


def test_code_beside_a_model_does_not_run(bert: Path, build: Callable[..., Any], payload: Payload) -> None:
    (bert / "own.py").write_text(f"import os\nos.system('touch {payload.trace}')\nclass Own: pass\n")
    config = json.loads((bert / "config.json").read_text())
    own = {"AutoConfig": "own.Own", "AutoModel": "own.Own"}
    (bert / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": own}))
    with pytest.raises(FusionError, match="is code of its own; to run that here, name it with remote_code"):
        build("text", {"name": "hf-text", "model": str(bert)})
    (bert / "config.json").write_text(json.dumps(config))
    map_of_tokenizer = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", "own.Own"]}}
    (bert / "tokenizer_config.json").write_text(json.dumps(map_of_tokenizer))
    with pytest.raises(FusionError, match="holds no tokenizer that can be read"):
        build("text", {"name": "hf-text", "model": str(bert)})


@pytest.mark.parametrize("shard", ["../out.safetensors", "/dev/zero", "a\\u0000b"])
def test_an_index_of_shards_names_files_beside_it(shard: str, bert: Path, build: Callable[..., Any]) -> None:
    (bert / "model.safetensors").rename(bert.parent / "out.safetensors")
    index = f'{{"weight_map": {{"a": "{shard}"}}}}'
    (bert / "model.safetensors.index.json").write_text(index)
    with pytest.raises(FusionError, match="which is not a file beside it"):
        build("text", {"name": "hf-text", "model": str(bert)})


def test_a_configuration_of_timm_does_not_say_where_weights_are(tmp_path: Path) -> None:
    said = {"architecture": "resnet10t", "model_args": {"checkpoint_path": "/tmp/x"}}
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match="model_args has checkpoint_path, which is not for the file to say"):
        read_timm(tmp_path)


def test_no_table_runs(tmp_path: Path, payload: Payload) -> None:
    content = pickle.dumps(payload)
    for name in ("a.parquet", "a.csv", "a.jsonl", "a.arrow", "a.npz", "a.tar"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"cannot be read|is not a \.npz file"):
            open_rows(data=str(tmp_path / name))[0]
    np.savez(tmp_path / "objects.npz", image=np.array([payload], dtype=object))
    with pytest.raises(DataError, match="Object arrays cannot be loaded when allow_pickle=False"):
        open_rows(data=str(tmp_path / "objects.npz"))


def test_members_of_a_shard_are_bytes_whatever_they_are_called(tmp_path: Path, payload: Payload) -> None:
    content = pickle.dumps(payload)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for suffix in ("pyd", "pkl", "pickle", "pth", "pt", "npy", "npz"):
            member = tarfile.TarInfo(f"0.{suffix}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    row = open_rows(data=str(tmp_path / "a.tar"))[0]
    assert len(row) == 7
    assert set(row.values()) == {content}


def test_a_type_of_arrow_that_holds_a_pickle_is_plain_numbers(tmp_path: Path, payload: Payload) -> None:
    class Own(pa.ExtensionType):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(pa.int64(), "arrow.py_extension_type")

        def __arrow_ext_serialize__(self) -> bytes:
            return pickle.dumps(payload)

        @classmethod
        def __arrow_ext_deserialize__(cls, storage: Any, serialized: bytes) -> "Own":
            return cls()

    cells = pa.ExtensionArray.from_storage(Own(), pa.array([7]))
    pq.write_table(pa.table({"number": cells}), tmp_path / "a.parquet")
    assert open_rows(data=str(tmp_path / "a.parquet"))[0] == {"number": 7}


def test_a_folder_with_a_script_of_datasets_gives_its_files(tmp_path: Path, payload: Payload) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "rows.py").write_text(f"import os\nos.system('touch {payload.trace}')\n")
    (folder / "rows.csv").write_text("text\na\n")
    assert open_rows(data=str(folder))[0] == {"text": "a"}
    with pytest.raises(DataError, match="Dataset scripts are no longer supported"):
        open_rows(data=str(folder), format="hub")


def test_no_sample_runs(payload: Payload) -> None:
    content = pickle.dumps(payload)
    objects = np.array([[payload]], dtype=object)
    for read in (
        lambda: decode.image(content),
        lambda: decode.image(objects),
        lambda: decode.audio(content, 8000, 1.0),
        lambda: decode.audio((objects, 8000), 8000, 1.0),
        lambda: decode.text(content),
    ):
        with pytest.raises(DataError):
            read()


def test_a_checkpoint_of_tensors_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(saved({"weight": torch.ones(2)}))
    assert torch.equal(read_transformers(path)["weight"], torch.ones(2))
