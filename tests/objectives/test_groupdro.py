"""Group DRO against algorithm 1 of its paper, run step by step in numpy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fusion.objectives.classify import Classify
from fusion.objectives.groupdro import Groupdro
from tests.objectives.toys import random

NAMES, SOURCES = ("image", "text", "audio"), ("scans", "photos", "drawings")


def test_the_weights_follow_the_losses_from_step_to_step() -> None:
    torch.manual_seed(0)
    groupdro = Groupdro(NAMES, 4, SOURCES, classes=3, rate=0.5)
    q = np.full(3, 1 / 3)
    for step in range(3):
        groupdro.start_step(step, 3)
        fused, label = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, -100])
        source = torch.tensor([0, 0, 1, 1, 1, 2])  # no drawing has a label
        embeddings = random([(True, True, True)] * 6)._replace(source=source)
        each = F.cross_entropy(groupdro.head(fused), label.clamp(min=0), reduction="none").detach().numpy()
        losses = np.array([each[:2].mean(), each[2:5].mean(), 0.0])
        q = q * np.exp(0.5 * losses)
        q /= q.sum()
        expected = (q[:2] * losses[:2]).sum() / q[:2].sum()
        for _ in range(2):  # a loss computed twice is the same
            found = groupdro(embeddings, fused, {"label": label})
            torch.testing.assert_close(found.item(), float(expected), rtol=1e-5, atol=1e-6)
    assert groupdro.next.tolist() == pytest.approx(q.tolist(), rel=1e-5)


def test_evaluation_leaves_the_weights_alone() -> None:
    groupdro = Groupdro(NAMES, 4, SOURCES, classes=3).eval()
    groupdro(random([(True, True, True)] * 2), torch.randn(2, 4), {"label": torch.tensor([0, 1])})
    groupdro.start_step(1, 2)
    assert groupdro.weights.tolist() == pytest.approx([1 / 3] * 3)


def test_one_source_is_plain_classification() -> None:
    torch.manual_seed(0)
    groupdro = Groupdro(NAMES, 4, ("only",), classes=3, smoothing=0.1)
    classify = Classify(NAMES, 4, classes=3, smoothing=0.1)
    classify.head.load_state_dict(groupdro.head.state_dict())
    embeddings = random([(True, True, True)] * 4)._replace(source=torch.zeros(4, dtype=torch.long))
    fused, targets = torch.randn(4, 4), {"label": torch.tensor([0, 2, -100, 1])}
    torch.testing.assert_close(
        groupdro(embeddings, fused, targets), classify(embeddings, fused, targets), rtol=1e-6, atol=1e-6
    )


def test_a_new_training_begins_with_equal_weights_whatever_it_starts_from() -> None:
    groupdro = Groupdro(NAMES, 4, SOURCES, classes=3, rate=5.0)
    for step in range(3):
        groupdro.start_step(step, 3)
        groupdro(random([(True, True, True)] * 4), torch.randn(4, 4), {"label": torch.tensor([0, 1, 2, 0])})
    earlier = groupdro.state_dict()
    fresh = Groupdro(NAMES, 4, SOURCES, classes=3)
    fresh.load_state_dict(earlier)
    assert (fresh.next - 1 / 3).abs().max() > 0.01
    fresh.start_step(0, 10)
    assert fresh.weights.tolist() == pytest.approx([1 / 3] * 3)
