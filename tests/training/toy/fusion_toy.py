"""The plugin of these tests: three modalities of four numbers each, small encoders, and faults on demand."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fusion import (
    Augmentation,
    Choices,
    Component,
    DataError,
    Embeddings,
    Encoder,
    Encoding,
    Followed,
    Logger,
    Objective,
    Processor,
    Row,
    Signal,
    Stream,
    hookimpl,
)

NAMES = ("image", "text", "audio")


class Numbers(Processor):
    """Reads four numbers; a str is a broken sample."""

    def decode(self, raw: Any) -> Any:
        if isinstance(raw, str):
            raise DataError(raw)
        return np.array(raw, np.float32)

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        return {"x": Signal(-9.0, 9.0)}


class Noise(Augmentation):
    """Adds noise."""

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        return raw if isinstance(raw, str) else np.array(raw) + 0.1 * rng.standard_normal(4)


class Tower(Encoder):
    """One layer, with random dropout, and two tokens."""

    def __init__(self, *, dim: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.dim = dim
        self.processor = Numbers()
        self.layer = nn.Linear(4, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Encoding:
        hidden = self.dropout(self.layer(x).tanh())
        return Encoding(hidden, torch.stack([hidden, -hidden], dim=1))


class Brittle(Tower):
    """A tower whose gradient, but not its output, is NaN in a batch that holds the number 99."""

    def __init__(self) -> None:
        super().__init__()
        self.spike = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Encoding:
        whole = (x[:, 0] < 50).all()
        zero = torch.sqrt(torch.where(whole, torch.ones(1), self.spike * 0.0)) - whole.float()
        return Encoding(super().forward(x.clamp(max=1)).pooled + zero)


class Normed(Tower):
    """A tower with running statistics."""

    def __init__(self) -> None:
        super().__init__(dropout=0.0)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Encoding:
        return super().forward(self.norm(x) if len(x) > 1 or not self.training else x)


class Hungry(Tower):
    """A tower that needs more memory than there is."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Encoding:
        raise torch.OutOfMemoryError("tried to allocate 80 GiB")


class Scaled(Tower):
    """A tower whose input is scaled by the number in a file, which stands for pretrained weights."""

    def __init__(self, assets: Path | None = None, *, model: str) -> None:
        super().__init__(dropout=0.0)
        self.scale = float((Path(model) if assets is None else assets / "scale").read_text())
        if assets is None:
            self.origin = {"model": model, "revision": "r1"}

    def forward(self, x: Tensor) -> Encoding:
        return super().forward(x * self.scale)

    def save_assets(self, folder: Path) -> None:
        (folder / "scale").write_text(str(self.scale))


class Still(Objective):
    """An objective without parameters."""

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return fused.square().mean()


class Rows:
    """Rows of the given modalities, about one of three classes each, with targets of every kind."""

    def __init__(
        self,
        *,
        view: Sequence[str] = NAMES,
        rows: int = 24,
        broken: Sequence[int] = (),
        infinite: Sequence[int] = (),
        spiked: Sequence[int] = (),
        faulty: Sequence[int] = (),
        deadly: Sequence[int] = (),
    ) -> None:
        self.view, self.rows, self.faulty, self.deadly = view, rows, faulty, deadly
        self.odd: dict[int, Any] = {
            **dict.fromkeys(broken, "torn"),
            **dict.fromkeys(infinite, [float("inf")] * 4),
            **dict.fromkeys(spiked, [99.0] * 4),
        }

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> Row:
        if index in self.faulty:
            raise RuntimeError("the disk is on fire")
        if index in self.deadly:
            os.kill(os.getpid(), int(os.environ.get("TOY_DEADLY", signal.SIGKILL)))
        label = index % 3
        row: dict[str, Any] = {"label": label, "flags": [float(label == 0), float("nan")]}
        if index % 4:
            row["value"] = label - 1.0
        for name in self.view:
            numbers = np.random.default_rng((index, NAMES.index(name))).standard_normal(4)
            row[name] = [number + label for number in numbers]
        if index in self.odd:
            row[self.view[-1]] = self.odd[index]
        return row


class Letters(Processor):
    """Reads a text as its letters; an empty one is broken."""

    def decode(self, raw: Any) -> Any:
        if not raw:
            raise DataError("no letters")
        return torch.tensor([float(ord(letter) % 7) for letter in raw])

    def collate(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        x = nn.utils.rnn.pad_sequence(samples, batch_first=True, padding_value=-1)
        return {"x": x, "real": x >= 0}


class Reader(Encoder):
    """A token for every letter; `seen` counts the texts that any of them has read."""

    seen = 0

    def __init__(self, *, scale: float = 1.0) -> None:
        super().__init__()
        self.dim, self.processor, self.scale = 4, Letters(), scale
        self.layer = nn.Linear(1, 4)

    def forward(self, x: Tensor, real: Tensor) -> Encoding:
        Reader.seen += len(x)
        if Reader.seen >= int(os.environ.get("TOY_KILLED_AT_TEXT", 10**9)):
            os.kill(os.getpid(), signal.SIGKILL)
        tokens = self.scale * self.layer(x[..., None]).tanh()
        pooled = (tokens * real[..., None]).sum(1) / real.sum(1)[:, None]
        return Encoding(pooled, tokens + 9 * ~real[..., None], real)


class Captioned(Rows):
    """Rows with one to three texts; `blank` rows have an empty one as their last. `read` counts rows."""

    read = 0

    def __init__(
        self,
        *,
        view: Sequence[str] = NAMES,
        rows: int = 24,
        broken: Sequence[int] = (),
        blank: Sequence[int] = (),
        first: str = "a",
    ) -> None:
        super().__init__(view=view, rows=rows, broken=broken)
        self.blank, self.first = blank, first

    def __getitem__(self, index: int) -> Row:
        Captioned.read += 1
        row = dict(super().__getitem__(index))
        if index % 5 == 1:
            del row[self.view[0]]
        if "text" in row:
            texts = [self.first + "xyz"[place] * (index + place) for place in range(1 + index % 3)]
            row["text"] = Choices([*texts[:-1], ""] if index in self.blank else texts)
        return row


class Endless(Stream):
    """Rows of an image and a text, one after the other."""

    def rows(self, part: int, parts: int, seed: int) -> Iterator[Row]:
        for number in range(part, 60, parts):
            yield {"image": [number, seed, 0, 0], "text": [number, 0, 0, 1], "label": number % 3}


class Gone:
    """A source whose file is missing."""

    def __init__(self) -> None:
        open("none.csv").close()


@hookimpl
def fusion_sources() -> list[Component]:
    return [
        Component("toy", Rows),
        Component("toy-captions", Captioned),
        Component("toy-gone", Gone),
        Component("toy-stream", Endless),
    ]


@hookimpl
def fusion_encoders() -> list[Component]:
    towers = [Component(f"toy-{name}", Tower, name) for name in NAMES]
    odd = {"toy-brittle": Brittle, "toy-normed": Normed, "toy-hungry": Hungry, "toy-scaled": Scaled}
    texts = [Component("toy-letters", Reader, "text")]
    return [*towers, *texts, *(Component(name, tower, "audio") for name, tower in odd.items())]


@hookimpl
def fusion_augmentations() -> list[Component]:
    return [Component("toy-noise", Noise)]


@hookimpl
def fusion_objectives() -> list[Component]:
    return [Component("toy-still", Still)]


class Lines(Logger):
    """Writes what it hears into a file; fails where it is asked to."""

    def __init__(self, *, refuse: bool = False, fail: list[int] = []) -> None:  # noqa: B006
        self.refuse, self.fail, self.calls = refuse, fail, 0

    def begin(self, training: Followed) -> None:
        if self.refuse:
            raise ConnectionError("no server")
        self.path = training.folder / "heard.jsonl"
        self._write("begin", [training.name, training.step, training.recipe["train.steps"]])

    def log(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        self.calls += 1
        if self.calls in self.fail:
            raise ConnectionError(f"no server in call {self.calls}")
        self._write("log", steps)

    def end(self, metrics: Mapping[str, float] | None) -> None:
        print("a library says goodbye")  # where a result is printed it must not be
        self._write("end", metrics)

    def _write(self, what: str, content: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps([os.environ.get("RANK", "0"), what, content]) + "\n")


@hookimpl
def fusion_loggers() -> list[Component]:
    return [Component("toy-lines", Lines)]


@hookimpl
def fusion_step_end(step: int, losses: dict[str, float]) -> None:
    """Send a signal to this process at a step: TOY_SIGNAL="9@5"."""
    number, _, at = os.environ.get("TOY_SIGNAL", "0@0").partition("@")
    if step == int(at):
        os.kill(os.getpid(), signal.Signals(int(number)))
