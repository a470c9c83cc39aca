"""An earlier run as priors see it: weights, and Fisher information on request."""

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import Tensor

from fusion import Earlier
from fusion.priors.information import FISHER

SHA = "ab" * 32


@pytest.fixture
def earlier(tmp_path: Path) -> Callable[..., Earlier]:
    """Make a folder with Fisher information that says it is of weights with this SHA-256."""

    def make(fisher: dict[str, Tensor] | None = None, sha256: str | None = SHA) -> Earlier:
        if fisher is not None:
            save_file(fisher, tmp_path / FISHER, None if sha256 is None else {"sha256": sha256})
        return Earlier(str(tmp_path), SHA)

    return make
