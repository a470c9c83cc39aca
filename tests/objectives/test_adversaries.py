"""Adversarial and cdan against their definitions, and the reversed gradient against finite differences."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fusion import Embeddings
from fusion.objectives import cdan as cdan_module
from fusion.objectives.adversarial import Adversarial
from fusion.objectives.cdan import Cdan
from fusion.objectives.discriminator import Discriminator
from tests.objectives.toys import random

NAMES, SOURCES = ("image", "text", "audio"), ("scans", "photos", "drawings")
TWO = ("scans", "photos")

SOURCE = [0, 2, 0, 0, 2, 2, 0, 0]  # no row is a photo
PRESENT = [(True, True, True)] * 5 + [(False, True, False), (True, False, True), (False, False, False)]


def given() -> tuple[Embeddings, Tensor]:
    embeddings = random(PRESENT)._replace(source=torch.tensor(SOURCE))
    return embeddings, torch.randn(len(SOURCE), 4, generator=torch.Generator().manual_seed(3))


def logits(discriminator: Discriminator, x: Tensor) -> NDArray[np.float64]:
    """The layers, written out in numpy."""
    norm, first, _, last = discriminator.layers
    weights = [p.detach().double().numpy() for p in (first.weight, first.bias, last.weight, last.bias)]
    z = x.detach().double().numpy()
    z = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + norm.eps)
    return np.asarray(np.maximum(z @ weights[0].T + weights[1], 0) @ weights[2].T + weights[3])


def cross_entropy(of: NDArray[np.float64], label: int) -> float:
    return float(np.log(np.exp(of).sum()) - of[label])


@pytest.mark.parametrize("modality", [None, *NAMES])
def test_every_source_that_is_there_weighs_the_same(modality: str | None) -> None:
    embeddings, fused = given()
    adversarial = Adversarial(NAMES, 4, SOURCES, modality=modality, hidden=5)
    x = fused if modality is None else embeddings.pooled[modality]
    some = torch.tensor([any(row) for row in PRESENT])
    rows = (some if modality is None else embeddings.present[modality]).tolist()
    answers = logits(adversarial.discriminator, x)
    means = [
        np.mean([cross_entropy(answers[i], s) for i, s in enumerate(SOURCE) if s == number and rows[i]])
        for number in (0, 2)
    ]
    found = adversarial(embeddings, fused, {})
    torch.testing.assert_close(found, torch.tensor(np.mean(means), dtype=torch.float32))


@pytest.mark.parametrize("step", [0, 30, 100])
def test_the_gradient_is_the_reversed_one_of_the_schedule(step: int) -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(4, 6, TWO).double()
    discriminator.schedule(step, 100)
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    source, rows = torch.tensor([0, 1, 1, 0, 1]), torch.ones(5, dtype=torch.bool)
    discriminator(x, source, rows).backward()
    expected = 2 / (1 + math.exp(-10 * step / 100)) - 1  # 0, 0.905 and almost 1
    numeric = torch.zeros_like(x)
    with torch.no_grad():
        for place in np.ndindex(*x.shape):
            nudge = torch.zeros_like(x)
            nudge[place] = 1e-6
            more, less = (discriminator(x + sign * nudge, source, rows) for sign in (1, -1))
            numeric[place] = (more - less) / 2e-6
    assert x.grad is not None
    torch.testing.assert_close(x.grad, -expected * numeric, atol=1e-8, rtol=1e-5)


def test_the_discriminator_itself_learns_the_right_way_round() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(4, 16, TWO)
    x = torch.randn(40, 4)
    source = (x[:, 0] > 0).long()
    adam = torch.optim.Adam(discriminator.parameters(), lr=0.02)
    for _ in range(100):
        adam.zero_grad()
        discriminator(x, source, torch.ones(40, dtype=torch.bool)).backward()
        adam.step()
    assert (discriminator.layers(x).argmax(dim=1) == source).float().mean() > 0.9


def test_the_features_learn_that_the_sources_cannot_be_told_apart() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(4, 16, TWO)
    source = torch.arange(80) % 2
    x = torch.randn(80, 4)
    x[:, 0] += 3.0 * source
    move = torch.eye(4).requires_grad_()  # a linear encoder

    def apart() -> float:
        y = x @ move.detach()
        y = F.layer_norm(y, (4,))
        return float((y[source == 0].mean(0) - y[source == 1].mean(0)).norm())

    before = apart()
    slow = {"params": [move], "lr": 0.005}
    adam = torch.optim.Adam([{"params": discriminator.parameters(), "lr": 0.02}, slow])
    for step in range(300):
        discriminator.schedule(step, 300)
        adam.zero_grad()
        discriminator(x @ move, source, torch.ones(80, dtype=torch.bool)).backward()
        adam.step()
    assert apart() < before / 2


@pytest.mark.parametrize("entropy", [True, False])
def test_cdan_is_its_definition(entropy: bool) -> None:
    embeddings, fused = given()
    label = torch.tensor([0, -100, 2, 1, -100, -100, 0, -100])  # of one source only
    cdan = Cdan(NAMES, 4, SOURCES, classes=3, hidden=5, strength=0.7, entropy=entropy)
    probability = cdan.predict(fused).score.detach()
    products = torch.einsum("bw,bc->bwc", fused, probability).reshape(8, 12)
    answers = logits(cdan.discriminator, products)
    p = probability.double().numpy()
    weight = 1 + np.exp((p * np.log(p)).sum(1)) if entropy else np.ones(8)
    parts = []
    for number in (0, 2):
        members = [i for i, s in enumerate(SOURCE) if s == number and any(PRESENT[i])]
        losses = [weight[i] * cross_entropy(answers[i], number) for i in members]
        parts.append(sum(losses) / weight[members].sum())
    known = label != -100
    classify = F.nll_loss(probability[known].log(), label[known]).item()
    found = cdan(embeddings, fused, {"label": label})
    torch.testing.assert_close(found.item(), classify + 0.7 * float(np.mean(parts)), atol=1e-5, rtol=1e-5)


def test_cdan_projects_many_products_at_random(monkeypatch: Any) -> None:
    monkeypatch.setattr(cdan_module, "LARGEST", 3000)
    torch.manual_seed(0)
    cdan = Cdan(NAMES, 64, SOURCES, classes=50)
    x, p = torch.randn(40, 64), torch.randn(40, 50).softmax(dim=1)
    found = cdan._products(x, p)
    assert found.shape == (40, 3000)
    # inner products are kept on average (Kar and Karnick 2012), here within the spread of 3000 draws
    ours, exact = found @ found.T, (x @ x.T) * (p @ p.T)
    assert (ours - exact).abs().max() < 0.2 * exact.diag().max()
    torch.testing.assert_close(Cdan(NAMES, 64, SOURCES, classes=50)._products(x, p), found)


@pytest.mark.parametrize("kind", [Adversarial, Cdan])
def test_one_source_is_refused(kind: Any) -> None:
    options = {"classes": 3} if kind is Cdan else {}
    with pytest.raises(ValueError, match="a single source has none to be compared with"):
        kind(NAMES, 4, ("only",), **options)
