"""The red flags of an evaluation by attacks: signs that it shows more robustness than there is."""

from math import fsum
from typing import Any

import torch

from fusion.attack import ascend, gradient
from fusion.evaluation.crew import Crew
from fusion.threat.attacker import Scene

FEW, MANY = 5, 20
"""Steps of which the second has to be at least as strong."""
SLACK = 1e-3
"""By how much of it, relative to the harm, an attack may be weaker than one that ought to be weaker."""


class Flags:
    """Looks at batches as Croce and Hein 2020 (section 6 and appendix) look at defences that broke.

    A model may draw random numbers; its gradient may be zero or not finite, which hides where to go; one
    step, or a few, may harm more than many, which cannot be where the gradient points uphill.
    """

    def __init__(self) -> None:
        self.parts: list[list[float]] = []

    def look(self, scene: Scene) -> None:
        """Look at one batch; the model is in evaluation mode."""
        region, rows = scene.region, scene.rows
        if not region.blocks:  # no row of the batch has what is attacked
            return
        zero = region.zero()
        clean, slope = gradient(scene.harm, zero)
        with torch.no_grad():
            again = scene.harm(zero)
        useful = torch.zeros_like(rows)
        attacked = torch.zeros_like(rows)
        for key, block in region.blocks.items():
            part = slope[key].flatten(1)
            useful[block.rows] |= part.isfinite().all(dim=1) & (part != 0).any(dim=1)
            attacked[block.rows] = True
        rows = rows & attacked
        harms = [
            self._harm(scene, steps, size, rows)
            for steps, size in ((1, 1.0), (FEW, 2.5 / FEW), (MANY, 2.5 / MANY))
        ]
        counts = [rows, rows & (clean != again), rows & ~useful]
        self.parts.append([*(float(some.sum()) for some in counts), *harms])

    def gathered(self, crew: Crew) -> dict[str, Any]:
        """Return what was seen of all rows, on the first rank; nothing on the others."""
        parts = [part for some in crew.gather(self.parts) for part in some]
        if not parts:
            return {}
        rows, random, flat, *harms = (fsum(column) for column in zip(*parts, strict=True))
        one, few, many = (harm / max(rows, 1) for harm in harms)
        slack = SLACK * abs(many)
        return {
            "rows": int(rows),
            "random_outputs": random / max(rows, 1),
            "zero_gradients": flat / max(rows, 1),
            "harm": {"1": one, str(FEW): few, str(MANY): many},
            "more_steps_weaker": many < few - slack,
            "one_step_stronger": one > many + slack,
        }

    def _harm(self, scene: Scene, steps: int, size: float, rows: torch.Tensor) -> float:
        delta = ascend(scene.harm, scene.region, scene.region.zero(), steps, size)
        with torch.no_grad():
            return float((scene.harm(delta) * rows).double().sum())
