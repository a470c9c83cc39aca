"""What holds for every objective, whoever wrote it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fusion import Embeddings, Objective, Registry, Task
from tests.objectives.toys import NAMES, random

WIDTH = 4
NEEDED: dict[str, dict[str, Any]] = {
    "classify": {"classes": 3},
    "regress": {"target": "age", "outputs": 2},
    "multilabel": {"classes": 3},
    "coral": {"modality": "text"},  # of the fused vectors every row takes part that has anything
    "mmd": {"modality": "text"},
    "moments": {"modality": "text"},
    "adversarial": {"modality": "text"},
    "cdan": {"classes": 3, "modality": "text"},
    "groupdro": {"classes": 3},
    "distill-labels": {"classes": 3},
}
SOURCES = ("first", "second", "third")
REGISTRY = Registry()
OBJECTIVES = REGISTRY.names("objective")
Row = tuple[bool, ...]

presence = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=5)
garbage = st.sampled_from([float("nan"), float("inf"), -float("inf"), 3e38, 1.0])


def make(name: str) -> Objective:
    torch.manual_seed(0)
    component = REGISTRY.find("objective", name).component
    place = (NAMES, WIDTH, SOURCES) if "sources" in component.positional() else (NAMES, WIDTH)
    objective = component.resolve()(*place, **{**component.tiny, **NEEDED.get(name, {})})
    assert isinstance(objective, Objective)
    return objective


def some_targets(objective: Objective, rows: int, known: Sequence[bool] | None = None) -> dict[str, Tensor]:
    """Targets of 0 and 1 in turns, missing in the rows that are not known."""
    targets = {}
    for name, target in objective.targets.items():
        by_row = (torch.arange(rows) % 2).to(target.dtype)
        values = by_row.reshape(-1, *(1 for _ in target.shape)).repeat(1, *target.shape)
        values[~torch.tensor(known if known is not None else [True] * rows)] = target.missing
        targets[name] = values
    return targets


def run(
    objective: Objective, embeddings: Embeddings, targets: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Return the loss and all gradients: of parameters, pooled and fused vectors."""
    objective.zero_grad()
    pooled = {name: x.clone().requires_grad_() for name, x in embeddings.pooled.items()}
    rows = len(embeddings.source)
    fused = torch.linspace(-1, 2, rows * WIDTH).square().reshape(rows, WIDTH).requires_grad_()
    loss = objective(embeddings._replace(pooled=pooled), fused, targets)
    loss.backward()
    leaves = {**dict(objective.named_parameters()), **pooled, "fused": fused}
    return loss.detach(), {name: leaf.grad for name, leaf in leaves.items()}


def test_there_are_objectives() -> None:
    assert {"contrastive", "sigmoid", "classify", "regress", "multilabel"} <= set(OBJECTIVES)


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=30, deadline=None)
@given(present=presence, garbage=garbage, seed=st.integers(0, 99))
def test_garbage_in_absent_slots_changes_no_bit(
    name: str, present: list[Row], garbage: float, seed: int
) -> None:
    objective = make(name)
    clean, dirty = random(present), random(present, garbage=garbage)
    # absent slots may also claim to hold the same sample as another row
    claim = {n: torch.where(clean.present[n], dirty.content[n], 1 + seed % 2) for n in NAMES}
    targets = some_targets(objective, len(present), [(seed + i) % 3 > 0 for i in range(len(present))])
    loss, gradients = run(objective, clean, targets)
    dirty_loss, dirty_gradients = run(objective, dirty._replace(content=claim), targets)
    assert loss.isfinite()
    assert torch.equal(loss, dirty_loss)
    for leaf, gradient in gradients.items():
        other = dirty_gradients[leaf]
        assert (gradient is None) == (other is None), leaf
        if gradient is not None and other is not None:
            assert gradient.isfinite().all(), leaf
            assert torch.equal(gradient, other), leaf
    for modality in NAMES:
        absent = gradients[modality]
        assert absent is None or not absent[~clean.present[modality]].any()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_is_an_attached_zero_when_no_row_takes_part(name: str) -> None:
    objective = make(name)
    targets = some_targets(objective, 3, [False] * 3)
    with torch.autograd.set_detect_anomaly(True):  # raises on a NaN that is masked later on
        loss, gradients = run(objective, random([(True, False, False)] * 3), targets)
    assert loss.shape == ()
    assert loss == 0
    for parameter, _ in objective.named_parameters():
        gradient = gradients[parameter]
        assert gradient is not None, parameter
        assert not gradient.any(), parameter


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_parameter_learns_when_all_modalities_are_present(name: str) -> None:
    objective = make(name)
    loss, gradients = run(objective, random([(True, True, True)] * 4), some_targets(objective, 4))
    assert loss > 0
    for parameter, _ in objective.named_parameters():
        gradient = gradients[parameter]
        assert gradient is not None, parameter
        assert gradient.any(), parameter


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_parameter_is_a_scalar_because_fsdp_takes_none(name: str) -> None:
    assert all(parameter.ndim > 0 for parameter in make(name).parameters())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_order_of_rows_is_of_no_account(name: str) -> None:
    objective = make(name)
    embeddings = random([(True, True, True), (True, True, False), (True, False, True), (False, True, True)])
    targets, fused = some_targets(objective, 4), torch.randn(4, WIDTH)
    order = torch.tensor([2, 0, 3, 1])
    permuted = Embeddings(
        *({k: v[order] for k, v in part.items()} for part in embeddings[:5]), embeddings.source[order]
    )
    loss = objective(permuted, fused[order], {k: v[order] for k, v in targets.items()})
    torch.testing.assert_close(loss, objective(embeddings, fused, targets))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_is_fp32_and_close_to_itself_under_autocast(name: str) -> None:
    objective = make(name)
    embeddings, targets = random([(True, True, True)] * 4), some_targets(objective, 4)
    fused = torch.randn(4, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(embeddings, fused.bfloat16(), targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, objective(embeddings, fused, targets), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if isinstance(make(name), Task)])
def test_a_task_answers_and_its_metrics_read_the_score(name: str) -> None:
    task = make(name)
    assert isinstance(task, Task)
    value, score = task.predict(torch.randn(5, WIDTH))
    assert len(value) == len(score) == 5
    metrics = task.metrics()
    metrics.update(score, some_targets(task, 5)[task.target])
    results = metrics.compute()
    assert results
    assert all(result.ndim == 0 and result.isfinite() for result in results.values())
