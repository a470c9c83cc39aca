"""Where a batch can be attacked: the inputs that hold raw samples, and how far each may move."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fusion.attack import Block, Delta, Key, Norm, Region
from fusion.batch import Batch
from fusion.encoder import Processor, Signal
from fusion.errors import PluginError, Problem, RecipeError, unknown


def attackable(processors: Mapping[str, Processor]) -> list[str]:
    """Return the modalities whose processor says where raw samples are."""
    return [name for name, one in processors.items() if type(one).signals is not Processor.signals]


def unattackable(name: str, processors: Mapping[str, Processor]) -> str:
    """Say why a modality cannot be attacked, and which can."""
    if name not in processors:
        return unknown("modality", name, processors)
    return (
        f"{name} cannot be attacked: its processor names no input that holds raw samples "
        f"(Processor.signals); those that can: {', '.join(attackable(processors)) or 'none'}"
    )


class Surface:
    """The inputs of a batch that may be moved, by `radius` at most: by modality, in units of the raw sample.

    Raises RecipeError for a modality that cannot be attacked, and PluginError for signals that are none.
    """

    def __init__(
        self, batch: Batch, processors: Mapping[str, Processor], radius: Mapping[str, float]
    ) -> None:
        self.batch, self.radius = batch, radius
        self.signals: dict[Key, Signal] = {}
        for name in radius:
            if name in batch.inputs:  # a row has it
                found = processors[name].signals(batch.inputs[name])
                if not found:
                    raise RecipeError([Problem("attack", unattackable(name, processors))])
                self.signals |= {(name, key): signal for key, signal in found.items()}

    def region(self, norm: Norm, rows: Tensor, keys: Tensor) -> Region:
        """Return where perturbations of these rows, (b,) bool, may lie.

        `keys`, (b,) long, are what its random numbers follow from.
        """
        blocks = {key: self._block(*key, signal, rows) for key, signal in self.signals.items()}
        return Region(blocks, norm, keys)

    def moved(self, batch: Batch, delta: Delta) -> Batch:
        """Return a batch with a perturbation added to its inputs."""
        inputs = {name: dict(given) for name, given in batch.inputs.items()}
        for (name, key), part in delta.items():
            given, signal = inputs[name][key], self.signals[name, key]
            inputs[name][key] = given + part / spread(signal.std, given, signal.axis)
        return batch._replace(inputs=inputs)

    def _block(self, name: str, key: str, signal: Signal, chosen: Tensor) -> Block:
        inputs = self.batch.inputs[name]
        given, count = inputs.get(key), len(next(iter(inputs.values())))
        if given is None or not given.is_floating_point() or len(given) != count:
            shape = None if given is None else f"{given.dtype} {tuple(given.shape)}"
            raise PluginError(
                f"the processor of {name} names {key!r} as its signal, which is {shape}; expected an input "
                "of floating point numbers with a row for each sample"
            )
        # the present rows come first: which they are is not asked of the device
        rows = torch.argsort(~self.batch.present[name], stable=True)[:count]
        std, mean = (spread(values, given, signal.axis) for values in (signal.std, signal.mean))
        raw = given * std + mean
        low, high = (signal.low - raw).clamp(max=0), (signal.high - raw).clamp(min=0)
        if signal.real is not None:
            low, high = (torch.where(signal.real, bound, 0.0) for bound in (low, high))
        each = chosen[rows].to(given.dtype).reshape(-1, *(1 for _ in given.shape[1:]))
        return Block(low, high, self.radius[name] * each, rows)


def spread(values: float | Sequence[float], like: Tensor, axis: int = 1) -> Tensor | float:
    """Return one number, or a number for each channel, (1, ..., channels, 1 ...)."""
    if isinstance(values, int | float):
        return values
    # filled one by one: a tensor made of a list would be copied to the device
    channels = torch.stack([like.new_full((), value) for value in values])
    return channels.reshape(*(1 for _ in like.shape[:axis]), -1, *(1 for _ in like.shape[axis + 1 :]))
