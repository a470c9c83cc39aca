"""Give broken inputs to everything that opens what others wrote: `fuzz.py N [SEED]`.

Real files with flipped bits, cuts, splices and changed lengths; recipes, manifests and rows of a random tree.
Each has to be read or refused by an error of fusion: no other error, no warning, no crash, at most 5 s of the
processor, and 200 MB that are not given back. Input number i is a function of (SEED, i). Workers take the
inputs, so that one that crashes or hangs is found; each of these is kept in the folder fuzz-failures.
"""

import contextlib
import gc
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

SECONDS, GROWTH = 5.0, 200 * 2**20
WORKERS = 2
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
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
ODD = (
    "",
    "\0",
    "\ud800",
    "../../x",
    "/etc/passwd",
    "nan",
    "x" * 5000,
    "{}",
    "é\u2028",
    "CON",
    "a\nb",
    "*a",
    "&a",
)


def mutated(random: Random, content: bytes, other: bytes) -> bytes:
    """Return some bytes with one to four faults of the kinds that disks, networks and people make."""
    data = bytearray(content)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(data) + 1)
        if random.random() < 0.5:
            place = min(place, random.randrange(64))  # where headers are
        match random.randrange(6):
            case 0 if place < len(data):
                data[place] ^= 1 << random.randrange(8)
            case 1:
                del data[place:]
            case 2:
                width, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
                data[place : place + width] = (random.choice(EDGES) % 2 ** (8 * width)).to_bytes(width, order)
            case 3:
                start = random.randrange(len(other) + 1)
                data[place : place + random.randrange(64)] = other[start : start + random.randrange(256)]
            case 4:
                data[place:place] = data[place : place + random.randrange(512)] * random.randrange(1, 9)
            case 5:
                data[place : place + random.randrange(16)] = random.randbytes(random.randrange(16))
    return bytes(data)


def tree(random: Random, depth: int = 0) -> Any:
    """Return a value of JSON or of a row, odd ones more often than people have them."""
    match random.randrange(10 if depth < 4 else 7):
        case 0:
            return random.choice((None, True, False))
        case 1:
            return random.choice((-1, 1)) * random.choice(EDGES)
        case 2:
            return random.choice((0.5, -0.0, float("nan"), float("inf"), 1e308))
        case 3 | 4:
            return random.choice(ODD)
        case 5 | 6:
            return "".join(chr(random.randrange(0x110000)) for _ in range(random.randrange(8)))
        case 7 | 8:
            return {str(tree(random, 9)): tree(random, depth + 1) for _ in range(random.randrange(4))}
        case _:
            return [tree(random, depth + 1) for _ in range(random.randrange(4))]


def planted(random: Random, data: Any) -> Any:
    """Return nested data with an odd value in the place of one that is somewhere in it."""
    if not data or not isinstance(data, dict | list) or random.random() < 0.2:
        return tree(random)
    keys = list(data) if isinstance(data, dict) else range(len(data))
    key = random.choice(list(keys))
    copy: Any = dict(data) if isinstance(data, dict) else list(data)
    copy[key] = planted(random, data[key])
    return copy


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
        from fusion.recipe_text import parse

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


def work(seed: int, start: int, stop: int, step: int) -> None:
    """Open every `step`-th input; tell its number before, and what came of it after."""
    import psutil

    from fusion import FusionError

    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.environ |= {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "FUSION_CACHE": tempfile.mkdtemp()}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_DATASETS_CACHE"] = f"{scratch}/datasets"
        with silent():
            seeds = Seeds(Path(scratch))
        process = psutil.Process()
        for number in range(start, stop, step):
            kind, content, opened = seeds.input(Random(f"{seed} {number}"))
            before, clock = process.memory_info().rss, time.process_time()
            print(json.dumps({"begin": number, "kind": kind}), file=told)
            outcome = "read"
            try:
                with warnings.catch_warnings(), silent():
                    warnings.simplefilter("error")
                    opened()
            except FusionError:
                outcome = "refused"
            except BaseException as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                outcome = f"{type(error).__name__} in {place.filename}:{place.lineno}: {error}"
            seconds, grown = time.process_time() - clock, process.memory_info().rss - before
            if grown > GROWTH:
                gc.collect()
                grown = process.memory_info().rss - before
            if outcome in ("read", "refused") and seconds > SECONDS:
                outcome = f"took {seconds:.1f} s"
            if outcome in ("read", "refused") and grown > GROWTH:
                outcome = f"kept {grown / 2**20:.0f} MB"
            if number % 500 < step:
                shutil.rmtree(f"{scratch}/datasets", ignore_errors=True)
            print(json.dumps({"end": number, "outcome": outcome[:300], "seconds": seconds}), file=told)
            if outcome not in ("read", "refused"):
                keep(number, kind, content)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Drop what libraries print about broken files, also from C."""
    kept = [os.dup(stream) for stream in (1, 2)]
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            os.dup2(nothing, stream)
        yield
    finally:
        for stream, former in zip((1, 2), kept, strict=True):
            os.dup2(former, stream)
            os.close(former)
        os.close(nothing)


def keep(number: int, kind: str, content: Any) -> None:
    folder = Path("fuzz-failures")
    folder.mkdir(exist_ok=True)
    raw = content[1] if isinstance(content, tuple) else content
    (folder / f"{number}-{kind}").write_bytes(raw if isinstance(raw, bytes) else repr(raw).encode())


def watch(seed: int, start: int, count: int, step: int, counts: Counter[str], failed: list[str]) -> None:
    """Start a worker for its share, and another one behind an input that ended or stopped it."""
    import threading

    import psutil

    while start < count:
        command = [sys.executable, __file__, "--work", *map(str, (seed, start, count, step))]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        at: dict[str, Any] = {"number": None, "kind": "", "cpu": 0.0}

        def guard(worker: subprocess.Popen[str] = worker, at: dict[str, Any] = at) -> None:
            while worker.poll() is None:
                time.sleep(1)
                with contextlib.suppress(psutil.Error):
                    used = sum(psutil.Process(worker.pid).cpu_times()[:2])
                    if at["number"] is None or at["number"] != at.get("seen"):
                        at["seen"], at["cpu"], at["since"] = at["number"], used, time.monotonic()
                    elif used - at["cpu"] > 2 * SECONDS or time.monotonic() - at["since"] > 120:
                        at["hung"] = True
                        worker.kill()

        threading.Thread(target=guard, daemon=True).start()
        assert worker.stdout is not None
        for line in worker.stdout:
            told = json.loads(line)
            if "begin" in told:
                at["number"], at["kind"] = told["begin"], told["kind"]
            else:
                plain = told["outcome"] in ("read", "refused")
                counts[f"{at['kind']} {told['outcome'] if plain else 'FAILED'}"] += 1
                if not plain:
                    failed.append(f"{told['end']} ({at['kind']}): {told['outcome']}")
                start, at["number"] = told["end"] + step, None
        if worker.wait() != 0:
            why = "hung" if at.get("hung") else f"ended the process ({worker.returncode})"
            failed.append(f"{at['number']} ({at['kind']}): {why}")
            print(failed[-1], file=sys.stderr, flush=True)
            if at["number"] is None:
                return
            counts[f"{at['kind']} FAILED"] += 1
            start = at["number"] + step


def main(count: int, seed: int = 0) -> int:
    import threading

    counts: Counter[str] = Counter()
    failed: list[str] = []
    begin = time.monotonic()
    workers = [
        threading.Thread(target=watch, args=(seed, first, count, WORKERS, counts, failed))
        for first in range(WORKERS)
    ]
    for thread in workers:
        thread.start()
    for thread in workers:
        while thread.is_alive():
            thread.join(60)
            print(f"{sum(counts.values()):,} of {count:,}, {len(failed)} failed", file=sys.stderr, flush=True)
    for kind in SHARES:
        told = {name: counts[f"{kind} {name}"] for name in ("read", "refused", "FAILED")}
        print(f"{kind:10}", *(f"{name} {number:6,}" for name, number in told.items()), sep="  ")
    print(f"{sum(counts.values()):,} inputs in {time.monotonic() - begin:.0f} s; failed: {len(failed)}")
    print(*failed, sep="\n")
    return 1 if failed or sum(counts.values()) < count else 0


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        work(*map(int, sys.argv[2:]))
    else:
        sys.exit(main(*map(int, sys.argv[1:3])))
