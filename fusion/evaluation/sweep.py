"""Run the model on evaluation rows: embeddings of every modality, answers for every subset of them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.batch import Batch
from fusion.embeddings import Embeddings
from fusion.model import Model

Subset = tuple[str, ...]


class Rows(NamedTuple):
    """What is measured of r rows. `scores` is by "subset/task", such as "image+audio/digit".

    A row with several choices of a modality is there once for each, the first time with all it has. `fused`,
    by "subset", and `energy`, by "subset/task", are filled where foreign rows are to be told.
    """

    vectors: dict[str, Tensor]  # (r, w)
    present: dict[str, Tensor]  # (r,) bool
    content: dict[str, Tensor]  # (r,) long
    targets: dict[str, Tensor]  # (r, ...)
    scores: dict[str, Tensor]  # (r, ...), to be read for the rows that have the subset
    place: dict[str, Tensor]  # "source" and "row", (r,) long
    fused: Mapping[str, Tensor] = MappingProxyType({})  # (r, w), unit length
    energy: Mapping[str, Tensor] = MappingProxyType({})  # (r,)

    def where(self, chosen: Tensor) -> "Rows":
        """Return the rows that `chosen`, (r,) bool or indices, picks."""
        return Rows(*({name: part[chosen] for name, part in field.items()} for field in self))

    @property
    def whole(self) -> "Rows":
        """Each row once, with the first of any choices."""
        place = torch.stack([self.place["source"], self.place["row"]])  # (2, r), equal ones side by side
        first = torch.ones(place.shape[1], dtype=torch.bool)
        first[1:] = (place[:, 1:] != place[:, :-1]).any(dim=0)
        return self.where(first)

    def labels(self, target: str) -> Tensor:
        """Return a target as class indices, (r,) long; a target of another kind labels no row."""
        given = self.targets[target]
        if given.ndim == 1 and not given.is_floating_point():
            return given
        return torch.full((len(given),), -100)

    def having(self, modalities: Sequence[str]) -> Tensor:
        """Return which rows have all of these modalities, (r,) bool."""
        return torch.stack([self.present[name] for name in modalities]).all(dim=0)


@torch.no_grad()
def collect(model: Model, batch: Batch, subsets: Sequence[Subset], foreign: bool = False) -> Rows:
    """Run the model on a batch: each encoder once, the fuser once for every subset.

    With `foreign` also what tells rows of another kind is kept.
    """
    return answer(model, model.embed(batch), batch, subsets, foreign)


@torch.no_grad()
def answer(
    model: Model, embeddings: Embeddings, batch: Batch, subsets: Sequence[Subset], foreign: bool = False
) -> Rows:
    """Return what is measured of a batch that is embedded."""
    scores: dict[str, Tensor] = {}
    vectors: dict[str, Tensor] = {}
    energy: dict[str, Tensor] = {}
    for subset in subsets if model.tasks or foreign else ():
        shown = {name: present & (name in subset) for name, present in batch.present.items()}
        fused = model.fuse(embeddings, shown)
        scores |= {
            f"{'+'.join(subset)}/{name}": task.predict(fused).score for name, task in model.tasks.items()
        }
        if foreign:
            vectors["+".join(subset)] = F.normalize(fused, dim=-1)
            given = {name: task.energy(fused) for name, task in model.tasks.items()}
            energy |= {f"{'+'.join(subset)}/{name}": e for name, e in given.items() if e is not None}
    place = {"source": batch.source, "row": batch.row}
    rows = Rows(
        embeddings.pooled, batch.present, batch.content, batch.targets, scores, place, vectors, energy
    )
    return Rows(*({name: part.cpu() for name, part in field.items()} for field in rows))


def join(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts, one after the other."""
    return Rows(
        *(
            {name: torch.cat([part[index][name] for part in parts]) for name in parts[0][index]}
            for index in range(len(Rows._fields))
        )
    )
