"""What mattered to the earlier task is pulled to where it was."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fusion.prior import Earlier, Prior, Pull
from fusion.priors.information import read_fisher


class Ewc(Prior):
    """Elastic weight consolidation (Kirkpatrick et al. 2017, equation 3).

    Each number that `init` gave is pulled to where it was, by `strength` times its Fisher information. What
    has none is free, but for `train.weight_decay`. `fisher` is the run or the file that holds it, by default
    the run that `init` names.
    """

    def __init__(
        self,
        earlier: Earlier | None,
        *,
        strength: Annotated[float, Field(gt=0)] = 1e4,
        fisher: str | None = None,
    ) -> None:
        super().__init__(earlier)
        if earlier is None:
            raise ValueError("there is no `init`, whose weights it would hold; give a finished run")
        self.strength = strength
        self.fisher = read_fisher(Path(fisher or earlier.path).expanduser(), earlier)

    def pull(self, name: str, start: Tensor, known: bool) -> Pull | None:
        fisher = self.fisher.get(name)
        if not known or fisher is None or fisher.shape != start.shape:
            return None
        return Pull(self.strength * fisher, start)
