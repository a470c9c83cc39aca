"""Coral, MMD and moments against their definitions, written out source by source in float64."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion import Embeddings
from fusion.objectives.coral import Coral
from fusion.objectives.mmd import Mmd
from fusion.objectives.moments import Moments
from tests.objectives.toys import NAMES, random

Rows = NDArray[np.float64]

SOURCES = [0, 2, 1, 0, 2, 2, 1, 0, 1, 4]  # the fourth has no row, and the last only one
FIVE = ("a", "b", "c", "d", "e")
PRESENT = [
    *[(True, True, True)] * 6,
    *[(True, False, True), (True, True, False), (False, True, True), (True, True, True)],
]


def coral_of_five(modalities: Sequence[str], width: int, **options: Any) -> Coral:
    return Coral(modalities, width, FIVE, **options)


def moments_of_five(modalities: Sequence[str], width: int, **options: Any) -> Moments:
    return Moments(modalities, width, FIVE, **options)


KINDS = [coral_of_five, Mmd, moments_of_five]


def coral(one: Rows, other: Rows) -> float:
    """Equation 1 of the paper; numpy's covariance divides by n - 1 as the paper does."""
    return float(((np.cov(one.T) - np.cov(other.T)) ** 2).sum() / (4 * one.shape[1] ** 2))


def mmd(one: Rows, other: Rows, spread: float, scales: Sequence[float]) -> float:
    """Equation 5 of the paper, with the mean of the kernels."""

    def kernel(x: Rows, y: Rows) -> float:
        apart = ((x[:, None] - y[None]) ** 2).sum(-1)
        return float(np.mean([np.exp(-apart / (scale * spread)) for scale in scales]))

    return kernel(one, one) + kernel(other, other) - 2 * kernel(one, other)


def moments(one: Rows, other: Rows) -> float:
    """Equation 1 of the paper, of one pair."""
    return float(sum(np.linalg.norm((one**k).mean(0) - (other**k).mean(0)) for k in (1, 2)))


def grouped(x: Tensor, rows: Tensor, least: int) -> list[Rows]:
    source = torch.tensor(SOURCES)
    parts = [x[rows & (source == number)].double().numpy() for number in range(5)]
    return [part for part in parts if len(part) >= least]


def given() -> tuple[Embeddings, Tensor]:
    embeddings = random(PRESENT)._replace(source=torch.tensor(SOURCES))
    return embeddings, torch.randn(len(SOURCES), 4, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("modality", [None, *NAMES])
def test_coral_is_the_mean_over_pairs_of_sources(modality: str | None) -> None:
    embeddings, fused = given()
    rows = torch.ones(len(SOURCES), dtype=torch.bool) if modality is None else embeddings.present[modality]
    x = fused if modality is None else embeddings.pooled[modality]
    parts = grouped(x, rows, least=2)  # one row has no covariance
    assert len(parts) == 3
    expected = np.mean([coral(one, other) for one, other in combinations(parts, 2)])
    found = Coral(NAMES, 4, FIVE, modality=modality)(embeddings, fused, {})
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("modality", [None, *NAMES])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 8.0)])
def test_mmd_is_the_mean_over_pairs_of_sources(scales: tuple[float, ...], modality: str | None) -> None:
    embeddings, fused = given()
    rows = torch.ones(len(SOURCES), dtype=torch.bool) if modality is None else embeddings.present[modality]
    x = fused if modality is None else embeddings.pooled[modality]
    together = x[rows].double().numpy()
    spread = float(((together[:, None] - together[None]) ** 2).sum(-1).mean())
    parts = grouped(x, rows, least=1)
    assert len(parts) == 4
    expected = np.mean([mmd(one, other, spread, scales) for one, other in combinations(parts, 2)])
    found = Mmd(NAMES, 4, modality=modality, scales=scales)(embeddings, fused, {})
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("modality", [None, *NAMES])
def test_moments_is_the_mean_over_pairs_of_sources(modality: str | None) -> None:
    embeddings, fused = given()
    rows = torch.ones(len(SOURCES), dtype=torch.bool) if modality is None else embeddings.present[modality]
    x = fused if modality is None else embeddings.pooled[modality]
    parts = grouped(x, rows, least=1)
    assert len(parts) == 4
    expected = np.mean([moments(one, other) for one, other in combinations(parts, 2)])
    found = Moments(NAMES, 4, FIVE, modality=modality)(embeddings, fused, {})
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_sources_are_at_no_distance(kind: Any) -> None:
    half = torch.randn(4, 4, generator=torch.Generator().manual_seed(3))
    embeddings = random([(True, True, True)] * 8)._replace(source=torch.tensor([0] * 4 + [1] * 4))
    found = kind(NAMES, 4)(embeddings, torch.cat([half, half]), {})
    assert abs(found) < 1e-6
    assert kind(NAMES, 4)(embeddings, torch.cat([half, 3 * half + 1]), {}) > 0.01


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sources", [[4] * 8, [0] * 8, [0, 1, 2, 3, 4, 4, 3, 3]])
def test_a_single_source_or_single_rows_are_no_error(kind: Any, sources: list[int]) -> None:
    embeddings = random([(True, True, True)] * 8)._replace(source=torch.tensor(sources))
    fused = torch.randn(8, 4, requires_grad=True)
    loss = kind(NAMES, 4)(embeddings, fused, {})
    loss.backward()
    assert fused.grad is not None
    assert fused.grad.isfinite().all()
    if len(set(sources)) == 1:
        assert loss == 0
        assert not fused.grad.any()


def test_coral_worked_out_by_hand() -> None:
    # variances 2 and 8 along the first axis, nothing along the other: (8 - 2)^2 / (4 * 2^2)
    fused = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [3.0, 0.0], [7.0, 0.0]])
    embeddings = random([(True, True, True)] * 4)._replace(source=torch.tensor([0, 0, 1, 1]))
    torch.testing.assert_close(Coral(NAMES, 2, FIVE)(embeddings, fused, {}), torch.tensor(36 / 16))


def test_minimising_brings_sources_together() -> None:
    generator = torch.Generator().manual_seed(0)
    source = torch.arange(40) % 2
    fused = torch.randn(40, 4, generator=generator) + 2.0 * source[:, None]
    embeddings = random([(True, True, True)] * 40)._replace(source=source)
    shift = torch.zeros(4, requires_grad=True)
    adam = torch.optim.Adam([shift], lr=0.1)
    for _ in range(60):
        adam.zero_grad()
        Mmd(NAMES, 4)(embeddings, fused + shift * source[:, None], {}).backward()
        adam.step()
    assert (shift + 2).abs().max() < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_modality_that_is_not_there_is_told(kind: Any) -> None:
    with pytest.raises(ValueError, match="unknown modality 'imag'; did you mean 'image'"):
        kind(NAMES, 4, modality="imag")


@pytest.mark.parametrize("kind", [Coral, Moments])
def test_a_single_source_in_the_recipe_is_told(kind: Any) -> None:
    with pytest.raises(ValueError, match="a single source has none to be compared with; give a second one"):
        kind(NAMES, 4, ("only",))
