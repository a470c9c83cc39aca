import math

import pytest
import torch

from fusion import Embeddings, RecipeError
from fusion.objectives.sigmoid import Sigmoid
from tests.objectives.toys import MATCHES, NAMES, PAIRS, SOME, matches, random


def loop(
    embeddings: Embeddings, pairs: list[tuple[str, str]], labels: list[int], scale: float, bias: float
) -> float:
    """Follow the paper's equation 1 term by term in Python floats."""
    losses = []
    for pair in pairs:
        rows = [i for i in range(len(labels)) if all(embeddings.present[name][i] for name in pair)]
        x, y = (embeddings.pooled[name].tolist() for name in pair)
        total = 0.0
        for i in rows:
            for j in rows:
                match = matches(embeddings, pair, labels, i, j)
                logit = scale * sum(p * q for p, q in zip(x[i], y[j], strict=True)) + bias
                total += math.log(1 + math.exp(-logit if match else logit))
        if rows:
            losses.append(total / len(rows))
    return sum(losses) / len(losses)


@MATCHES
@PAIRS
def test_it_equals_a_loop_over_every_two_rows(
    labels: list[int], content: dict[str, list[int]], pairs: list[tuple[str, str]]
) -> None:
    embeddings = random(SOME, content)
    objective = Sigmoid(NAMES, 4, pairs=pairs, scale=5.0, bias=-2.0)
    loss = objective(embeddings, torch.zeros(5, 4), {"label": torch.tensor(labels)})
    assert loss.item() == pytest.approx(loop(embeddings, pairs, labels, 5.0, -2.0), rel=1e-5)


def test_one_row_starts_at_log_two_when_it_matches() -> None:
    embeddings = random([(True, True, False)])
    embeddings.pooled["text"][:] = embeddings.pooled["image"]
    loss = Sigmoid(NAMES, 4, same=None)(embeddings, torch.zeros(1, 4), {})
    torch.testing.assert_close(loss, torch.tensor([math.log(2)])[0])  # 10 * 1 - 10 = 0


def test_scale_and_bias_learn() -> None:
    embeddings, targets = random([(True, True, True)] * 4), {"label": torch.arange(4)}
    objective = Sigmoid(NAMES, 4)
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.05)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = objective(embeddings, torch.zeros(4, 4), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert objective.bias.item() != -10
    assert objective.log_scale.item() != pytest.approx(math.log(10))


def test_an_unknown_hub_is_refused() -> None:
    with pytest.raises(RecipeError, match="objectives: unknown modality 'imag'; did you mean 'image'"):
        Sigmoid(NAMES, 4, hub="imag")
