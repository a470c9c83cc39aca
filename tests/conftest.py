"""What all tests share: one thread, examples that are the same each time, and one tiny trained run."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from fusion import Registry, Run, read_recipe, train
from fusion.picks import shrink

# a loaded machine is slow, which is no fault of what is tested
hypothesis.settings.register_profile("fusion", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("fusion")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Let this process and those it starts compute with one thread: several add numbers in other orders.

    Two busy threads on two busy cores would also wait for each other most of the time.
    """
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
