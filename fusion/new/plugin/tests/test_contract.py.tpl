"""The encoder and the source keep their contracts."""

import numpy as np
import pytest
from fusion import DataError
from fusion.testing import check_encoder, check_source

from $package.encoder import ${camel}Net, read
from $package.source import ${camel}Rows


def test_the_encoder_keeps_its_contract() -> None:
    rng = np.random.default_rng(0)
    check_encoder(${camel}Net, [rng.standard_normal((t, 3)) for t in (5, 9, 7)], dim=16)


def test_the_source_keeps_its_contract() -> None:
    check_source(${camel}Rows(rows=24))


def test_what_is_no_sample_is_refused() -> None:
    with pytest.raises(DataError, match="expected as an array"):
        read(np.zeros((4, 2)))
