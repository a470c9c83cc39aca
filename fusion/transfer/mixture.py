"""How each tensor of a merged model comes about."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from fusion.merging import Merging, blend
from fusion.model import Model, part_of
from fusion.transfer.members import Member


class Mixture(NamedTuple):
    """Runs and how they are merged."""

    merging: Merging
    members: Sequence[Member]
    base: Member | None
    parts: Mapping[str, Sequence[float]]  # weights of those that have some of their own: "image", "fuser" ...
    learned: frozenset[str]  # names of parameters; other tensors are statistics, counters and tables

    def fill(self, model: Model, weights: Sequence[float]) -> None:
        """Give a model the merged tensors, one after the other; `weights` are those of the runs."""
        for name, own in model.state_dict().items():
            own.copy_(self.tensor(name, self.parts.get(owner(name), weights)))

    def tensor(self, name: str, weights: Sequence[float]) -> Tensor:
        tensors = [member.tensors[name] for member in self.members]
        if name in self.learned and tensors[0].dtype.is_floating_point and tensors[0].numel():
            return self.merging.merge(name, tensors, weights, self.base and self.base.tensors[name])
        # a variance must not be extrapolated, nor a counter averaged
        largest = max(weights)
        if largest <= 0:
            return (self.base.tensors[name] if self.base else tensors[0]).whole()
        if not tensors[0].dtype.is_floating_point:
            return tensors[list(weights).index(largest)].whole()
        total = sum(weight for weight in weights if weight > 0)
        return blend(tensors, [max(weight, 0.0) / total for weight in weights])


def owner(name: str) -> str:
    """Return the part that has weights of its own: a modality, "fuser" or "objectives.NAME"."""
    part = part_of(name)
    section, _, modality = part.partition(".")
    return modality if section in ("encoders", "align") else part
