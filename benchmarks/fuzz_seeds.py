"""Real files of every kind for `fuzz.py`, and what opens them."""

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from fuzz_faults import ODD, mutated, planted, tree

SHARES = {
    "image": 27,
    "sound": 27,
    "text": 9,
    "recipe": 9,
    "manifest": 10,
    "weights": 14,
    "table": 3,
    "run": 1,
}


class Seeds:
    """Real files of every kind, small, and what reads them."""

    def __init__(self, folder: Path) -> None:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq
        import soundfile
        import torch
        from PIL import Image

        from fusion import Registry, read_recipe, train
        from fusion.picks import shrink
        from fusion.tensors import write

        self.folder, self.registry = folder, Registry()
        noise = np.random.default_rng(0)
        self.images, self.sounds, self.tables = [], [], {}
        for format, mode in (
            *(
                ("PNG", "RGB"),
                ("PNG", "P"),
                ("PNG", "I;16"),
                ("JPEG", "RGB"),
                ("JPEG", "CMYK"),
                ("WEBP", "RGB"),
            ),
            *(("BMP", "RGB"), ("GIF", "P"), ("TIFF", "RGB"), ("TIFF", "L"), ("PPM", "RGB")),
        ):
            shape = (24, 32) if mode == "I;16" else (24, 32, 3)
            kind = np.uint16 if mode == "I;16" else np.uint8
            picture = Image.fromarray(noise.integers(0, 255, shape).astype(kind))
            file = io.BytesIO()
            picture = picture if mode == "I;16" else picture.convert(mode)
            picture.save(file, format, **({"compression": "tiff_lzw"} if mode == "L" else {}))
            self.images.append(file.getvalue())
        for format, kind in (
            *(
                ("WAV", "PCM_16"),
                ("WAV", "FLOAT"),
                ("WAV", "MS_ADPCM"),
                ("FLAC", "PCM_16"),
                ("OGG", "VORBIS"),
            ),
            *(("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_24"), ("AU", "ULAW")),
        ):
            file = io.BytesIO()
            soundfile.write(file, noise.normal(0, 0.1, (4000, 2)), 8000, format=format, subtype=kind)
            self.sounds.append(file.getvalue())
        rows = pa.table({"text": ["a", "b", None], "label": [0, 1, 2], "image": ["x.png", "y.png", "z.png"]})
        file = io.BytesIO()
        pq.write_table(rows, file)
        self.tables["parquet"] = file.getvalue()
        file = io.BytesIO()
        with pa.ipc.new_stream(file, rows.schema) as stream:
            stream.write_table(rows)
        self.tables["arrow"] = file.getvalue()
        self.tables["csv"] = b'text,label,image\n"a, b",0,x.png\nb,1,y.png\n'
        self.tables["jsonl"] = b'{"text": "a", "label": 0}\n{"text": "\\u00e9", "more": [1, {"a": 2}]}\n'
        file = io.BytesIO()
        np.savez(
            file, image=np.zeros((3, 4, 4), np.uint8), label=np.arange(3), text=np.array(["a", "b", "c"])
        )
        self.tables["npz"] = file.getvalue()
        self.tables["tar"] = _tar(
            {"0.txt": b"a", "0.png": self.images[0], "0.json": b'{"a": [1]}', "1.txt": b"b"}
        )
        write(folder / "seed.safetensors", {"a": torch.zeros(3, 4), "b": torch.arange(5)})
        self.weights = (folder / "seed.safetensors").read_bytes()
        tiny = shrink(read_recipe("bind_digits", registry=self.registry), self.registry)
        self.run = train(tiny, folder / "run", registry=self.registry)
        self.recipe = (self.run.folder / "recipe.yaml").read_bytes()
        self.manifest = (self.run.folder / "manifest.json").read_bytes()

    def input(self, random: Random) -> tuple[str, Any, Callable[[], object]]:
        """Return the kind of an input, the input, and what opens it."""
        kind = random.choices(list(SHARES), list(SHARES.values()))[0]
        content = getattr(self, f"_{kind}")(random)
        return kind, content, lambda: getattr(self, f"open_{kind}")(content)

    def _image(self, random: Random) -> bytes:
        return mutated(random, random.choice(self.images), random.choice(self.images))

    def open_image(self, content: bytes) -> None:
        from fusion import decode

        decode.image(content)

    def _sound(self, random: Random) -> bytes:
        return mutated(random, random.choice(self.sounds), random.choice(self.sounds))

    def open_sound(self, content: bytes) -> None:
        from fusion import FusionError, decode

        with contextlib.suppress(FusionError):
            decode.duration(content)
        decode.audio(content, 16_000, 1.0)

    def _text(self, random: Random) -> Any:
        return tree(random) if random.random() < 0.8 else "x" * random.randrange(2_000_000)

    def open_text(self, content: Any) -> None:
        from fusion import decode

        decode.text(content)

    def _recipe(self, random: Random) -> bytes:
        from fusion.recipe.text import parse

        if random.random() < 0.5:
            return mutated(random, self.recipe, random.choice((self.recipe, *map(_encoded, ODD))))
        return json.dumps(planted(random, parse(self.recipe.decode())[0])).encode()  # which is YAML too

    def open_recipe(self, content: bytes) -> None:
        from fusion import read_recipe

        path = self.folder / "fuzzed.yaml"
        path.write_bytes(content)
        read_recipe(path, registry=self.registry)

    def _manifest(self, random: Random) -> bytes:
        if random.random() < 0.5:
            return mutated(random, self.manifest, self.manifest)
        return json.dumps(planted(random, json.loads(self.manifest))).encode()

    def open_manifest(self, content: bytes) -> None:
        from fusion import Run
        from fusion.training.verify import verify

        folder = self.folder / "manifest"
        folder.mkdir(exist_ok=True)
        (folder / "recipe.yaml").write_bytes(self.recipe)
        (folder / "manifest.json").write_bytes(content)
        verify(Run(folder), self.registry)

    def _weights(self, random: Random) -> bytes:
        return mutated(random, self.weights, self.weights)

    def open_weights(self, content: bytes) -> None:
        from fusion import FusionError
        from fusion.tensors import load_tensors, stored

        path = self.folder / "fuzzed.safetensors"
        path.write_bytes(content)
        with contextlib.suppress(FusionError):
            for tensor in stored(path).values():
                tensor.whole()
        load_tensors(path)

    def _table(self, random: Random) -> tuple[str, bytes]:
        kind = random.choice(list(self.tables))
        return kind, mutated(random, self.tables[kind], random.choice(list(self.tables.values())))

    def open_table(self, content: tuple[str, bytes]) -> None:
        from fusion_datasets.source import open_rows

        from fusion import FusionError

        path = self.folder / f"fuzzed.{content[0]}"
        path.write_bytes(content[1])
        rows = open_rows(data=str(path))
        for number in range(min(len(rows), 5)):
            with contextlib.suppress(FusionError):
                rows[number]

    def _run(self, random: Random) -> tuple[str, bytes]:
        name = random.choice(("recipe.yaml", "model.safetensors", "manifest.json"))
        content = (self.run.folder / name).read_bytes()
        return name, mutated(random, content, content)

    def open_run(self, content: tuple[str, bytes]) -> None:
        """Load a run with a broken file of which the manifest says that this is how it was written."""
        from fusion import load
        from fusion.files import sha256

        name, broken = content
        folder = self.folder / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.run.folder, folder, ignore=shutil.ignore_patterns("checkpoints"))
        (folder / name).write_bytes(broken)
        if name != "manifest.json":
            record = json.loads(self.manifest)
            record["files"][name] = sha256(folder / name)
            (folder / "manifest.json").write_text(json.dumps(record))
        load(folder, "cpu", self.registry).encode({"text": "seven"})


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _tar(files: dict[str, bytes]) -> bytes:
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()
