"""What mattered to the earlier task is pulled to where it was."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fusion.prior import Earlier, Prior, Pull

FISHER = "fisher.safetensors"
"""The Fisher information in a run's folder; `sha256` in its metadata is that of the weights."""


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


def read_fisher(place: Path, earlier: Earlier) -> dict[str, Tensor]:
    """Read what `fusion fisher` has written. Raises ValueError where it is not there or of other weights."""
    file = place / FISHER if place.is_dir() else place
    if not file.is_file():
        raise ValueError(f"{file} is not there; `fusion fisher RUN` writes it")
    try:
        with safe_open(file, "pt") as opened:
            said = (opened.metadata() or {}).get("sha256")
            if said is None:
                raise ValueError(f"{file} holds no Fisher information; `fusion fisher RUN` writes it")
            if said != earlier.sha256:
                raise ValueError(
                    f"{file} belongs to other weights (SHA-256 {said[:12]}...) than those of {earlier.path} "
                    f"({earlier.sha256[:12]}...); run `fusion fisher` on the run that init names"
                )
            fisher = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  no mapping
    except SafetensorError as error:
        raise ValueError(f"cannot read {file} as safetensors ({error}); run `fusion fisher` again") from error
    for name, value in fisher.items():
        if not bool((value.isfinite() & (value >= 0)).all()):
            raise ValueError(f"{file} is damaged: {name} has numbers below 0 or that are not finite")
    return fisher
