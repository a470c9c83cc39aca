"""What an encoder is: raw samples of one modality in, one vector per sample out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

GIVEN = "given/"
"""How inputs begin that are no parameters of an encoder, but what it has given."""


class Encoding(NamedTuple):
    """One modality, the n present rows only."""

    pooled: Tensor  # (n, d)
    tokens: Tensor | None = None  # (n, t, d)
    mask: Tensor | None = None  # (n, t) bool, True where a token is real; None: all are

    def as_inputs(self) -> dict[str, Tensor]:
        """Return it as the inputs of a batch that stand for what the encoder would give."""
        return {f"{GIVEN}{name}": part for name, part in self._asdict().items() if part is not None}

    @classmethod
    def of_inputs(cls, inputs: Mapping[str, Tensor]) -> "Encoding | None":
        """Return what `as_inputs` was given; None for the inputs of an encoder."""
        parts = {name.removeprefix(GIVEN): part for name, part in inputs.items() if name.startswith(GIVEN)}
        return cls(**parts) if parts else None


class Signal(NamedTuple):
    """How an input of an encoder holds raw samples: raw = input * std + mean.

    `mean` and `std` are one number, or one for each channel, along an `axis` of the input.
    """

    low: float  # the least that a raw sample holds, such as 0 for pixels
    high: float
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    real: Tensor | None = None  # (n, ...) bool that broadcasts, False in what is padding
    axis: int = 1  # of the channels


Form = Literal["text", "bytes", "array", "record"]
"""What a sample of a stranger may be: a text, the bytes of a file, numbers, or values by names of columns."""


class Processor(ABC):
    """Turns raw samples into tensors. Picklable and without weights: it runs in loader workers.

    `takes` says in which forms `decode` may be handed samples of strangers. One that reads texts says
    ("text",): to any other a str is the path of a file, so none that a stranger wrote reaches it.
    """

    takes: ClassVar[tuple[Form, ...]] = ("bytes", "array")

    @abstractmethod
    def decode(self, raw: Any) -> Any:
        """Return one sample, read from whatever form people have it in.

        The same input gives the same bits: what varies samples in training is an Augmentation. Raises
        fusion.DataError when the sample cannot be read.
        """

    def collate(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Return the keyword arguments of the encoder's forward for n decoded samples.

        The first tensor is (n, ...); others may be shaped otherwise, such as buckets of equal length.
        """
        return {"x": torch.stack([torch.as_tensor(sample) for sample in samples])}

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        """Say which inputs, of those that `collate` returned, hold the raw samples themselves, (n, ...) each.

        What moves samples a little, such as an attack, moves these. None by default: such a modality cannot
        be attacked, which is right for what is not continuous (text), or no longer raw (a spectrogram).
        """
        return {}

    def count_tokens(self, sample: Any) -> int:
        """Return how long a decoded sample is: its tokens, or what else the work of the encoder grows with.

        Where the order is free, rows of similar length are encoded together. 1 by default: all are alike.
        """
        return 1

    def show(self, raw: Any) -> Any:
        """Return what a page shows of a raw sample that can be read: a picture, a sound, a text, numbers.

        Or a list of pictures, which are shown side by side. By default it is the sample as it is given, and
        where it is the name of a file, what is in that.
        """
        return raw

    def pieces(self, sample: Any) -> Sequence[str]:
        """Return what the tokens of a decoded sample stand for, to be shown; empty where that is not known.

        They are in the order in which the encoder embeds them; what comes after the last one is padding.
        """
        return ()


class Encoder(nn.Module, ABC):
    """Encodes samples of one modality. Options are the keyword-only parameters of `__init__`.

    A subclass sets `dim`, the width d of its vectors, and `processor`. One with pretrained weights also
    sets `origin`, which the manifest of a run keeps: where they come from, as "model", "revision" and the
    "sha256" of their file. Where `tokens_read` is false nobody looks at its tokens, and it may spare them.
    """

    dim: int
    processor: Processor
    tokens_read: bool = True
    origin: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def forward(self, *args: Any, **inputs: Any) -> Encoding:
        """Encode what `processor.collate` returned. A batch must equal its rows one by one."""

    @classmethod
    def fit(cls, samples: Iterable[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options that follow from raw samples of the training, such as the mean of each column.

        It is called before the encoder is built, and what it returns is written into the recipe of the run
        for `options` that are None; the others are the recipe's own. The samples are read as they are asked
        for; those that cannot be read are to be left out. By default nothing is fitted.
        """
        return {}

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Return the parameters in groups from the input to the output, each once.

        By default the modules are taken in the order in which they were made, and each element of a
        ModuleList or Sequential is a layer; a normalisation goes with the layer before it. A subclass whose
        modules run in another order overrides this.
        """
        taken: set[nn.Parameter] = set()
        groups: list[list[nn.Parameter]] = []
        for layer in _layers(self):
            group = [parameter for parameter in layer if parameter not in taken]
            taken.update(group)
            if groups and all(parameter.ndim < 2 for parameter in group):  # a normalisation, or nothing
                groups[-1] += group
            else:
                groups += [group] if group else []
        return groups

    def recompute_blocks(self) -> list[nn.Module]:
        """Return the modules that can be computed again in the backward, in place of keeping what is in them.

        By default the innermost elements of ModuleLists and Sequentials that consist of modules themselves,
        such as the layers of a transformer; the whole encoder where there are none. What goes into a block
        is kept.
        """
        return list(_blocks(self)) or [self]

    def attributed(self) -> nn.Module | None:
        """Return the module whose first input an attribution divides an answer over, such as a spectrogram.

        By default, None, that is the encoder's first input of floats, or else the embedding of its tokens.
        """
        return None

    def save_assets(self, folder: Path) -> None:
        """Write what building this encoder again takes beside its options and its weights.

        Such as a configuration or a vocabulary. A subclass that overrides this takes the folder as its one
        positional parameter, `assets: Path | None = None`; given, it builds from there alone, with random
        weights and without the network, and the saved weights are loaded into it. By default the encoders
        among its options, which it keeps under the names of these, write what they need.
        """
        save_each({name: part for name, part in self.named_children() if isinstance(part, Encoder)}, folder)


def save_each(encoders: Mapping[str, Encoder], folder: Path) -> None:
    """Let encoders write their assets into a folder each, which those that have none do not get."""
    for name, encoder in encoders.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        encoder.save_assets(place)
        if not any(place.iterdir()):
            place.rmdir()


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        inner = list(_blocks(child))
        yield from inner
        composed = not isinstance(child, LISTS) and any(True for _ in child.children())
        if isinstance(module, LISTS) and composed and not inner:
            yield child


LISTS = (nn.ModuleList, nn.Sequential)


def _layers(module: nn.Module) -> Iterator[list[nn.Parameter]]:
    """Yield the parameters of each layer: of a list its elements, of what holds lists its parts."""
    yield list(module.parameters(recurse=False))
    for child in module.children():
        nested = (
            isinstance(child, LISTS)
            if isinstance(module, LISTS)
            else any(isinstance(inner, LISTS) for inner in child.modules())
        )
        if nested:
            yield from _layers(child)
        else:
            yield list(child.parameters())
