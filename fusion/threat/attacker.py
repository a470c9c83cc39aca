"""Move the inputs of a batch as an attack wants them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from fusion.attack import Attack, Delta, Norm, Region
from fusion.batch import Batch
from fusion.model import Model
from fusion.noise import keyed, uniform
from fusion.threat.harm import Goal, harm, harmable
from fusion.threat.surface import Surface


class Scene(NamedTuple):
    """A batch under attack: where it may be moved, whom that is meant for, and what it does."""

    batch: Batch
    surface: Surface
    rows: Tensor  # (b,) bool
    region: Region
    model: Model
    goal: Goal

    def harm(self, delta: Delta) -> Tensor:
        """Return how badly each row does under a perturbation, (b,)."""
        return harm(self.model, self.surface.moved(self.batch, delta), self.goal)


class Attacker:
    """Gives a batch as an attack leaves it: the same for a row in any batch, on any number of ranks.

    `radius` is by modality, in units of the raw sample; a `share` of the rows is attacked. Random numbers
    follow from `seed`, the step, and the source and number of a row.
    """

    def __init__(
        self,
        model: Model,
        attack: Attack,
        goal: Goal,
        radius: Mapping[str, float],
        norm: Norm,
        seed: int,
        share: float = 1.0,
    ) -> None:
        self.model, self.attack, self.goal = model, attack, goal
        self.radius, self.norm, self.seed, self.share = dict(radius), norm, seed, share

    def __call__(self, batch: Batch, step: int = 0) -> Batch:
        """Return the batch with its inputs moved; the model and its gradients stay as they are."""
        if batch.parts:
            return batch._replace(parts=[self(part, step) for part in batch.parts])
        with evaluating(self.model):
            scene = self.scene(batch, step)
            if not scene.region.blocks:  # no row of the batch has what is attacked
                return batch
            return scene.surface.moved(batch, self.attack(scene.harm, scene.region))

    def scene(self, batch: Batch, step: int = 0) -> Scene:
        """Return what an attack is given; the model is in evaluation mode."""
        surface = Surface(batch, self.model.processors, self.radius)
        keys = keyed(self.seed, step, batch.source, batch.row)
        rows = harmable(self.model, batch, self.goal)
        if self.share < 1:
            rows = rows & (uniform(keys, 1, salt=-1)[:, 0] < self.share)
        region = surface.region(self.norm, rows, keys)
        return Scene(self._still(batch), surface, rows, region, self.model, self.goal)

    @torch.no_grad()
    def _still(self, batch: Batch) -> Batch:
        """Return the batch with what is not attacked encoded, once for all steps."""
        inputs = {
            name: given if name in self.radius else self.model.encode(name, given).as_inputs()
            for name, given in batch.inputs.items()
        }
        return batch._replace(inputs=inputs)


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Let a model be in evaluation mode within: no dropout, and nothing that counts along."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)
