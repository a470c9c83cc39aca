"""The Fisher information of an earlier run, as a file beside its weights."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from fusion.manifest import MANIFEST, parse
from fusion.prior import Earlier
from fusion.signature import expect_none_required, expect_trusted

FISHER = "fisher.safetensors"
"""The Fisher information in a run's folder; `sha256` in its metadata is that of the weights."""


def read_fisher(place: Path, earlier: Earlier) -> dict[str, Tensor]:
    """Read what `fusion fisher` has written, from a run or a file.

    Raises ValueError where it is not there or of other weights, and RunError where the run is damaged or, if
    that is required, not signed.
    """
    file = place / FISHER if place.is_dir() else place
    if not file.is_file():
        raise ValueError(f"{file} is not there; `fusion fisher RUN` writes it")
    manifest = place / MANIFEST
    if manifest.is_file():
        expect_trusted(place, parse(manifest.read_bytes(), str(manifest)))
    else:
        expect_none_required(str(file))
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
