"""What is to go wrong: losses row by row, pairs apart, the ratio of logits."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from fusion import Model, RecipeError, Task
from fusion.objectives.classify import Classify
from fusion.objectives.multilabel import Multilabel
from fusion.objectives.regress import Regress
from fusion.testing.trial import MIXED, MODALITIES, WIDTH, trial
from fusion.threat.harm import Goal, dlr, harm, harmable
from tests.threat.conftest import batch_of

Rows = list[dict[str, Any]]
EVERY = range(5)


def test_the_ratio_of_logits_is_that_of_the_paper() -> None:
    logits = torch.tensor([[5.0, 3.0, 1.0, 0.0], [5.0, 3.0, 1.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    # right: -(5 - 3) / (5 - 1); third of four: -(1 - 5) / (5 - 1); all equal: 0 by next to nothing
    torch.testing.assert_close(dlr(logits, torch.tensor([0, 2, 1])), torch.tensor([-0.5, 1.0, 0.0]))


def test_the_ratio_does_not_see_shift_and_scale() -> None:
    logits, label = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 5
    torch.testing.assert_close(dlr(100 * logits + 7, label), dlr(logits, label), atol=1e-4, rtol=1e-4)


def test_a_task_is_harmed_by_its_loss_row_by_row(model: Model, rows: Rows) -> None:
    batch = batch_of(model, rows, EVERY)
    found = harm(model, batch, Goal({"kind": 2.0}))
    for row in EVERY:
        alone = batch_of(model, rows, [row])
        total = 0.0 if row == 3 else 2 * model(alone).total
        torch.testing.assert_close(found[row], torch.as_tensor(total), atol=1e-6, rtol=1e-5)
    assert found[3] == 0  # it has no label
    assert harmable(model, batch, Goal({"kind": 1.0})).tolist() == [True, True, True, False, True]


def test_a_task_answers_from_what_is_shown(model: Model, rows: Rows) -> None:
    batch = batch_of(model, rows, EVERY)
    hidden = {name: here & (name != "wave") for name, here in batch.present.items()}
    found = harm(model, batch._replace(shown=hidden), Goal({"kind": 1.0}))
    without = [{name: one for name, one in row.items() if name != "wave"} for row in rows]
    torch.testing.assert_close(
        found[:4], harm(model, batch_of(model, without, range(4)), Goal({"kind": 1.0}))
    )


def test_a_pair_is_harmed_by_its_cosine(model: Model, rows: Rows) -> None:
    batch = batch_of(model, rows, EVERY)
    goal = Goal({}, [("scan", "wave"), ("wave", "word")])
    pooled = model.embed(batch).pooled
    found = harm(model, batch, goal)
    close = {pair: F.cosine_similarity(*(pooled[name] for name in pair), dim=1) for pair in goal.pairs}
    expected = [-close["scan", "wave"][0] - close["wave", "word"][0], -close["wave", "word"][1]]
    torch.testing.assert_close(found[:2], torch.stack(expected))
    assert found[[2, 4]].tolist() == [0, 0]
    assert harmable(model, batch, goal).tolist() == [True, True, False, True, False]


def test_the_ratio_needs_three_classes(model: Model, rows: Rows) -> None:
    batch = batch_of(model, rows, EVERY)
    found = harm(model, batch, Goal({"kind": 1.0}, loss="dlr"))
    assert found[3] == 0
    assert found[[0, 1, 2, 4]].abs().min() > 0
    model.objectives["kind"] = Classify(model.modalities, 8, classes=2)
    with pytest.raises(
        RecipeError, match="dlr compares the logits of three classes or more; attack this task"
    ):
        harm(model, batch_of(model, rows, [0, 1]), Goal({"kind": 1.0}, loss="dlr"))


TASKS: dict[str, tuple[Callable[..., Task], torch.Tensor]] = {
    "classify": (lambda: Classify(MODALITIES, WIDTH, classes=3), torch.arange(16) % 3),
    "regress": (lambda: Regress(MODALITIES, WIDTH, target="label"), torch.linspace(-1, 1, 16)),
    "numbers": (lambda: Regress(MODALITIES, WIDTH, target="label", outputs=2), torch.randn(16, 2)),
    "multilabel": (
        lambda: Multilabel(MODALITIES, WIDTH, classes=2, target="label"),
        (torch.arange(32).reshape(16, 2) % 3 > 0).float(),
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_the_losses_of_rows_are_those_of_rows_alone(name: str) -> None:
    """What each task computes at once is what the general way gives, one row after the other."""
    build, label = TASKS[name]
    task, embeddings = build(), trial(MIXED)
    label = label.clone()
    label[3] = -100 if label.dtype == torch.long else torch.nan
    if label.ndim == 2:
        label[5, 0] = torch.nan
    fused = torch.randn(16, WIDTH, generator=torch.Generator().manual_seed(1))
    found = task.row_losses(embeddings, fused, {"label": label})
    general = Task.row_losses(task, embeddings, fused, {"label": label})
    torch.testing.assert_close(found, general)
    assert found.shape == (16,)
    assert found[3] == 0
