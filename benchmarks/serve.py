"""What a server of a run takes for a request of one row, with batches and without, for 1, 8 and 64 clients.

    python benchmarks/serve.py [run] [seconds] [rounds]

Two servers answer in turns: one joins up to 64 rows, the other takes each row alone. Clients are in this
process, ask /predict for a scan, a sound and a text by turns over one connection each, and ask again as soon
as they have an answer, which has to be that of the predictor.
"""

import asyncio
import base64
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import soundfile
from fusion_digits.source import Digits
from PIL import Image
from table import in_turns, row

from fusion import load, read_recipe, train

CLIENTS = (1, 8, 64)
ROWS = 120


class Server(NamedTuple):
    process: subprocess.Popen[str]
    port: int


class Asked(NamedTuple):
    request: bytes
    value: int  # that has to be answered


@contextmanager
def serving(run: Path, *options: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "fusion", "serve", str(run), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        match = re.search(r":(\d+)$", process.stdout.readline().strip())
        assert match, "the server did not start"
        yield Server(process, int(match[1]))
        process.terminate()
        assert process.wait(60) == 0


def questions(run: Path) -> list[Asked]:
    """Return requests for one row each, whose answers are known."""
    source, names = Digits(split="test"), ("image", "audio", "text")
    rows: list[dict[str, Any]] = []
    for number in range(ROWS):
        given, name = source[number], names[number % 3]
        file = io.BytesIO()
        if name == "image":
            Image.fromarray(given["image"]).save(file, format="PNG")
        elif name == "audio":
            soundfile.write(file, *given["audio"], format="WAV")
        rows.append({name: given["text"] if name == "text" else file.getvalue()})
    [answer] = load(run, "cpu").predict(rows).values()
    return [Asked(_request(given), value) for given, value in zip(rows, answer.value.tolist(), strict=True)]


def _request(given: dict[str, Any]) -> bytes:
    [(name, one)] = given.items()
    sample = {"base64": base64.b64encode(one).decode()} if isinstance(one, bytes) else one
    body = json.dumps({"rows": [{name: sample}]}).encode()
    head = "POST /predict HTTP/1.1", "Host: localhost", "Content-Type: application/json"
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def client(port: int, asked: list[Asked], start: int, until: float, pause: float) -> list[float]:
    """Ask until then, and return how long each answer took, in s."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took: list[float] = []
    while time.perf_counter() < until:
        request, value = asked[(start + len(took)) % len(asked)]
        began = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head)
        assert head.startswith("HTTP/1.1 200 "), head
        assert length
        [told] = json.loads(await reader.readexactly(int(length[1])))["rows"]
        [answer] = told["answers"].values()
        assert answer["value"] == value
        took.append(time.perf_counter() - began)
        if pause:
            await asyncio.sleep(pause)
    writer.close()
    return took


async def clients(
    number: int, port: int, asked: list[Asked], seconds: float, pause: float = 0
) -> list[float]:
    """Return how long each answer took, of so many clients at once."""
    until = time.perf_counter() + seconds
    each = [client(port, asked, 7 * start, until, pause) for start in range(number)]
    return [took for some in await asyncio.gather(*each) for took in some]


def compare(run: Path, seconds: float, rounds: int) -> None:
    asked = questions(run)
    with serving(run) as joined, serving(run, "--batch", "1") as alone:
        print("| clients | batches of | requests/s | p50 | p99 |\n|--:|--:|--:|--:|--:|")
        ratios = []
        for number in CLIENTS:
            found: dict[int, list[float]] = {joined.port: [], alone.port: []}

            def measure(port: int, number: int = number, found: dict[int, list[float]] = found) -> float:
                took = asyncio.run(clients(number, port, asked, seconds))
                found[port] += took
                return 1000 * seconds / len(took)

            pairs = in_turns(rounds, lambda: measure(joined.port), lambda: measure(alone.port))
            ratios.append((number, *pairs))
            for port, most in ((joined.port, 64), (alone.port, 1)):
                cut = [1000 * at for at in quantiles(found[port], n=100)]
                each = len(found[port]) / seconds / (rounds + 1)
                print(f"| {number} | {most} | {each:.0f} | {cut[49]:.1f} ms | {cut[98]:.1f} ms |", flush=True)
        for number, ours, peer in ratios:
            goal = 1.05 if number == 1 else 1.0
            row(f"serve: a request, {number} clients; beside each row alone", ours, peer, "ms", goal)


def main(run: str = "", seconds: str = "3", rounds: str = "3") -> None:
    with tempfile.TemporaryDirectory() as folder:
        if not run:
            train(read_recipe("bind_digits", ["train.steps=20"]), Path(folder) / "run")
        compare(Path(run or f"{folder}/run"), float(seconds), int(rounds))


if __name__ == "__main__":
    main(*sys.argv[1:])
