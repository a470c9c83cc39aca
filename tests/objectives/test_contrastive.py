import math

import pytest
import torch
import torch.nn.functional as F

from fusion import Embeddings, Objective, RecipeError
from fusion.objectives.contrastive import Contrastive
from tests.objectives.toys import MATCHES, NAMES, PAIRS, SOME, matches, random


def loop(
    embeddings: Embeddings, pairs: list[tuple[str, str]], labels: list[int], temperature: float
) -> float:
    """Follow the papers row by row in Python floats."""
    losses = []
    for pair in pairs:
        b = len(labels)
        rows = [i for i in range(b) if all(embeddings.present[name][i] for name in pair)]
        if not rows:
            continue
        directions = []
        for anchors, others in [pair, pair[::-1]]:
            x, y = embeddings.pooled[anchors].tolist(), embeddings.pooled[others].tolist()
            anchored = []
            for i in rows:
                score = {j: sum(p * q for p, q in zip(x[i], y[j], strict=True)) / temperature for j in rows}
                log_total = math.log(sum(math.exp(score[j]) for j in rows))
                own = [j for j in rows if matches(embeddings, pair, labels, i, j)]
                anchored.append(sum(log_total - score[j] for j in own) / len(own))
            directions.append(sum(anchored) / len(rows))
        losses.append(sum(directions) / 2)
    return sum(losses) / len(losses)


def loss_of(objective: Objective, embeddings: Embeddings, labels: list[int]) -> torch.Tensor:
    loss = objective(embeddings, torch.zeros(len(labels), 4), {"label": torch.tensor(labels)})
    assert isinstance(loss, torch.Tensor)
    return loss


@MATCHES
@PAIRS
def test_it_equals_a_loop_over_rows(
    labels: list[int], content: dict[str, list[int]], pairs: list[tuple[str, str]]
) -> None:
    embeddings = random(SOME, content)
    objective = Contrastive(NAMES, 4, pairs=pairs, temperature=0.2)
    expected = loop(embeddings, pairs, labels, 0.2)
    assert loss_of(objective, embeddings, labels).item() == pytest.approx(expected, rel=1e-5)


def test_it_is_clips_cross_entropy_when_every_row_differs() -> None:
    embeddings = random([(True, True, True)] * 6)
    logits = embeddings.pooled["image"] @ embeddings.pooled["text"].T / 0.07
    own = torch.arange(6)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    objective = Contrastive(NAMES, 4, pairs=[("image", "text")])
    torch.testing.assert_close(loss_of(objective, embeddings, list(range(6))), expected)


def test_two_rows_by_hand() -> None:
    embeddings = random([(True, True, True)] * 2)
    embeddings.pooled["image"][:] = embeddings.pooled["text"][:] = torch.eye(2, 4)
    objective = Contrastive(NAMES, 4, pairs=[("image", "text")], temperature=0.5)
    # cosines 1 and 0 over 0.5: -log(e^2 / (e^2 + 1)); as positives of each other: 1 less on average
    apart = math.log(1 + math.exp(-2))
    torch.testing.assert_close(loss_of(objective, embeddings, [0, 1]), torch.tensor(apart))
    torch.testing.assert_close(loss_of(objective, embeddings, [0, 0]), torch.tensor(apart + 1))


def test_a_single_row_has_nothing_to_be_told_from() -> None:
    embeddings = random([(True, True, False), (True, False, False)])
    assert loss_of(Contrastive(NAMES, 4), embeddings, [0, 1]) == 0


def test_pairs_without_a_row_do_not_dilute_the_mean() -> None:
    embeddings = random([(True, True, False)] * 3)
    everything = Contrastive(NAMES, 4)
    only = Contrastive(NAMES, 4, pairs=[("image", "text")])
    labels = [0, 1, 2]
    assert torch.equal(loss_of(everything, embeddings, labels), loss_of(only, embeddings, labels))


def test_a_hub_compares_what_its_pairs_compare() -> None:
    embeddings, labels = random(SOME), [0, 1, 2, 3, 4]
    hub = Contrastive(NAMES, 4, hub="text")
    pairs = Contrastive(NAMES, 4, pairs=[("image", "text"), ("audio", "text")])
    torch.testing.assert_close(loss_of(hub, embeddings, labels), loss_of(pairs, embeddings, labels))


def test_without_same_no_target_is_read() -> None:
    objective = Contrastive(NAMES, 4, same=None)
    assert objective.targets == {}
    loss = objective(random(SOME), torch.zeros(5, 4), {})
    torch.testing.assert_close(loss, loss_of(Contrastive(NAMES, 4), random(SOME), [-100] * 5))


def test_same_names_the_target_that_is_read() -> None:
    ((name, target),) = Contrastive(NAMES, 4, same="speaker").targets.items()
    assert (name, target.dtype, target.shape, target.missing) == ("speaker", torch.long, (), -100)


def test_an_unknown_modality_is_refused() -> None:
    with pytest.raises(RecipeError, match="objectives: unknown modality 'imag'; did you mean 'image'"):
        Contrastive(NAMES, 4, pairs=[("imag", "text")])


def test_gradients_are_exact_in_float64() -> None:
    embeddings = random(SOME, {"image": [4, 4, 5, 0, 0]}, dtype=torch.float64)
    objective = Contrastive(NAMES, 4, temperature=0.5).double()
    labels = {"label": torch.tensor([0, -100, 0, -100, 0])}

    def loss(*pooled: torch.Tensor) -> torch.Tensor:
        given = embeddings._replace(pooled=dict(zip(NAMES, pooled, strict=True)))
        return objective(given, torch.zeros(5, 4), labels)

    leaves = [embeddings.pooled[name].requires_grad_() for name in NAMES]
    assert torch.autograd.gradcheck(loss, leaves)


def test_the_temperature_falls_while_pairs_match_and_stays_above_a_hundredth() -> None:
    embeddings = random([(True, True, True)] * 4)
    embeddings.pooled["text"][:] = embeddings.pooled["audio"][:] = embeddings.pooled["image"]
    objective = Contrastive(NAMES, 4, temperature=0.5)
    optimizer = torch.optim.SGD(objective.parameters(), lr=1.0)
    scales = []
    for _ in range(5):
        optimizer.zero_grad()
        loss_of(objective, embeddings, [0, 1, 2, 3]).backward()
        optimizer.step()
        scales.append(objective.log_of_scale.exp().item())
    assert scales == sorted(scales)
    assert scales[0] > 2
    with torch.no_grad():
        objective.log_scale.fill_(20.0)
    assert objective.log_of_scale.exp().item() == pytest.approx(100, rel=1e-5)


def test_a_temperature_beyond_its_limit_can_come_back() -> None:
    objective = Contrastive(NAMES, 4)
    with torch.no_grad():
        objective.log_scale.fill_(5.0)
    loss_of(objective, random([(True, True, True)] * 4), [0, 1, 2, 3]).backward()  # random pairs do not match
    assert objective.log_scale.grad is not None
    assert objective.log_scale.grad.item() > 1


def test_large_scales_stay_finite() -> None:
    objective = Contrastive(NAMES, 4, temperature=0.01)
    embeddings = random(SOME)
    for name in NAMES:
        embeddings.pooled[name].requires_grad_()
    loss = loss_of(objective, embeddings, [0, 1, 2, 3, 4])
    loss.backward()
    assert loss.isfinite()
    assert all(embeddings.pooled[name].grad.isfinite().all() for name in NAMES)
