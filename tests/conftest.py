"""What all tests share: one thread, and one tiny trained run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fusion import Registry, Run, read_recipe, train
from fusion.picks import shrink


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Here, as two busy threads on two busy cores wait for each other, and in other processes, to the bit."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))  # read when it is imported
        yield


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry()


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Run:
    """A finished run of bind_digits in its tiny form. Do not write into it."""
    out: Path = tmp_path_factory.mktemp("runs") / "tiny"
    return train(shrink(read_recipe("bind_digits", registry=registry), registry), out, registry=registry)
