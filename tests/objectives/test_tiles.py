"""In tiles a loss and its gradients are what they are when all rows are compared at once."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fusion import Embeddings, Objective, peek
from fusion.objectives import pairs, softmax, tiles
from fusion.objectives.contrastive import Contrastive
from fusion.objectives.distill_contrast import DistillContrast
from fusion.objectives.distill_relations import DistillRelations
from fusion.objectives.mmd import Mmd
from fusion.objectives.sigmoid import Sigmoid
from tests.objectives import plain
from tests.objectives.test_every_objective import OBJECTIVES, make, some_targets
from tests.objectives.test_every_objective import run as run_all
from tests.objectives.toys import NAMES, random

ROWS, WIDTH = 23, 4
Loss = Callable[[Embeddings, Tensor, Mapping[str, Tensor]], Tensor]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of four rows, of which the last has three, also for a few rows."""
    monkeypatch.setattr(tiles, "WHOLE", {"cpu": 0})
    monkeypatch.setattr(tiles, "EDGE", 4)


def given(rows: int = ROWS, dtype: torch.dtype = torch.float64) -> Any:
    """Return rows of which some lack a modality, some share a sample or a label, and labels are missing."""
    place = torch.arange(rows)
    present = torch.stack([place % 5 > 0, place % 7 > 0, place % 4 < 3], dim=1)
    content = {"image": (place % 9).tolist(), "audio": (place * 11 % 6 * 2**40).tolist()}
    embeddings = random(present.tolist(), content, dtype=dtype)
    fused = torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(4), dtype=dtype)
    teacher = torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(5), dtype=dtype)
    teacher[3] = torch.nan
    label = torch.where(place % 3 > 0, place % 8, -100)
    return embeddings, fused, {"label": label, "teacher/fused": teacher}


def measured(loss: Loss, given: Any, objective: Objective) -> dict[str, Tensor]:
    """Return the loss and its gradient for all vectors and parameters."""
    embeddings, fused, targets = given
    pooled = {name: x.detach().clone().requires_grad_() for name, x in embeddings.pooled.items()}
    fused = fused.clone().requires_grad_()
    objective.zero_grad()
    value = loss(embeddings._replace(pooled=pooled), fused, targets)
    (2 * value).backward()
    leaves = {**pooled, "fused": fused, **dict(objective.named_parameters())}
    return {"loss": value.detach()} | {
        name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad.clone()
        for name, leaf in leaves.items()
    }


def make_contrastive() -> tuple[Objective, Loss]:
    ours = Contrastive(NAMES, WIDTH, temperature=0.2).double()
    return ours, lambda embeddings, fused, targets: plain.contrastive(
        embeddings, targets, ours.log_of_scale.exp()
    )


def make_sigmoid() -> tuple[Objective, Loss]:
    ours = Sigmoid(NAMES, WIDTH, scale=5.0, bias=-2.0).double()
    return ours, lambda embeddings, fused, targets: plain.sigmoid(
        embeddings, targets, ours.log_scale.exp(), ours.bias
    )


def make_mmd() -> tuple[Objective, Loss]:
    def loss(embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        rows = embeddings.present["text"]
        return plain.mmd(embeddings.pooled["text"][rows], embeddings.source[rows], (0.5, 2.0))

    return Mmd(NAMES, WIDTH, modality="text", scales=(0.5, 2.0)), loss


def make_relations() -> tuple[Objective, Loss]:
    def loss(embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        teacher = targets["teacher/fused"]
        rows = ~teacher.isnan().any(dim=1)
        ours, theirs = fused[rows], teacher[rows]
        return plain.distances(ours, theirs) + 2 * plain.angles(ours, theirs, 5)

    return DistillRelations(NAMES, WIDTH, neighbours=5), loss


def make_distill_contrast() -> tuple[Objective, Loss]:
    def loss(embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        pair = ("text", "audio")
        rows = plain.taking_part(embeddings, pair)
        student = F.normalize(embeddings.pooled["audio"], dim=1)
        teacher = embeddings.pooled["text"].detach()
        positive = plain.belong(embeddings, pair, targets["label"], rows)
        return plain.info_nce(student, teacher, 1 / 0.1, positive, rows)

    return DistillContrast(NAMES, WIDTH, teacher="text", student="audio", same="label"), loss


MAKE = {
    "contrastive": make_contrastive,
    "sigmoid": make_sigmoid,
    "mmd": make_mmd,
    "distill-relations": make_relations,
    "distill-contrast": make_distill_contrast,
}


@pytest.fixture(params=[False, True], ids=["whole", "tiles"])
def both_ways(request: pytest.FixtureRequest) -> None:
    if request.param:
        request.getfixturevalue("small")


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.usefixtures("both_ways")
def test_loss_and_gradients_are_those_of_a_plain_implementation(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    objective, loss = MAKE[name]()
    rows = given()
    expected, found = measured(loss, rows, objective), measured(objective, rows, objective)
    assert sum(bool(value.any()) for value in expected.values()) >= 2
    for part, value in expected.items():
        difference = torch.linalg.vector_norm(found[part] - value)
        assert difference <= 1e-9 * torch.linalg.vector_norm(value), part


@pytest.mark.parametrize("name", ["contrastive", "distill-contrast", "sigmoid"])
@pytest.mark.usefixtures("both_ways")
def test_a_device_that_would_be_waited_for_gives_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = MAKE[name]()[0].float()
    rows = given(dtype=torch.float32)
    expected = measured(objective, rows, objective)
    for module in (peek, pairs, softmax):
        monkeypatch.setattr(module, "near", lambda numbers: False)
    for part, value in measured(objective, rows, objective).items():
        torch.testing.assert_close(value, expected[part], atol=1e-6, rtol=1e-5, msg=part)


@pytest.mark.parametrize("pair", [("image", "audio"), ("audio", "text")])
@pytest.mark.usefixtures("both_ways")
def test_rows_whose_logits_are_all_far_below_those_of_others_are_exact(pair: tuple[str, str]) -> None:
    embeddings, _, _ = given(dtype=torch.float32)
    x = F.normalize(1 + 0.1 * embeddings.pooled["text"], dim=1)
    signs = torch.where(torch.arange(ROWS) % 2 > 0, 1.0, -1.0).unsqueeze(1)
    present = dict.fromkeys(NAMES, torch.ones(ROWS, dtype=torch.bool))
    # all logits of a row are near 100, or all near -100
    rows = embeddings._replace(pooled={"image": x, "text": x, "audio": signs * x}, present=present)
    targets = {"label": torch.full((ROWS,), -100)}
    ours = Contrastive(NAMES, WIDTH, pairs=[pair], temperature=0.01)
    exact = Contrastive(NAMES, WIDTH, pairs=[pair], temperature=0.01).double()

    def loss(rows: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        first, second = (rows.pooled[name] for name in pair)
        positive = plain.belong(rows, pair, targets["label"], present["text"])
        return plain.info_nce(first, second, exact.log_of_scale.exp(), positive, present["text"])

    found = measured(ours, (rows, x, targets), ours)
    rows = rows._replace(pooled={name: part.double() for name, part in rows.pooled.items()})
    for part, value in measured(loss, (rows, x.double(), targets), exact).items():
        torch.testing.assert_close(found[part].double(), value, atol=1e-4, rtol=1e-4, msg=part)


@pytest.mark.parametrize("name", MAKE)
def test_both_ways_give_the_same_in_fp32(name: str, request: pytest.FixtureRequest) -> None:
    objective = MAKE[name]()[0].float()
    rows = given(dtype=torch.float32)
    whole = measured(objective, rows, objective)
    request.getfixturevalue("small")
    for part, value in measured(objective, rows, objective).items():
        torch.testing.assert_close(value, whole[part], atol=1e-6, rtol=1e-5, msg=part)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_logits_at_both_ends_of_the_range_stay_finite(temperature: float) -> None:
    embeddings, fused, targets = given(dtype=torch.float32)
    x = F.normalize(torch.ones(ROWS, WIDTH), dim=1)
    opposed = embeddings._replace(
        pooled={"image": x, "text": -x, "audio": x * embeddings.pooled["audio"][:, :1].sign()}
    )
    objective = Contrastive(NAMES, WIDTH, temperature=temperature)
    found = measured(objective, (opposed, fused, targets), objective)
    assert all(value.isfinite().all() for value in found.values())


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", OBJECTIVES)
def test_garbage_in_absent_slots_changes_no_bit_of_any_tile(name: str) -> None:
    objective = make(name)
    present = [(row % 5 > 0, row % 7 > 0, row % 4 < 3) for row in range(ROWS)]
    targets = some_targets(objective, ROWS, [row % 3 > 0 for row in range(ROWS)])
    loss, gradients = run_all(objective, random(present), targets)
    for garbage in (torch.nan, torch.inf, 3e38):
        dirty_loss, dirty = run_all(objective, random(present, garbage=garbage), targets)
        assert torch.equal(loss, dirty_loss)
        for leaf, gradient in gradients.items():
            assert gradient is None or torch.equal(gradient, dirty[leaf]), leaf


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", MAKE)
def test_where_no_row_takes_part_tiles_give_an_attached_zero(name: str) -> None:
    objective = make(name)
    targets = some_targets(objective, 9, [False] * 9)
    with torch.autograd.set_detect_anomaly(True):
        loss, gradients = run_all(objective, random([(True, False, False)] * 9), targets)
    assert loss == 0
    assert all(gradient is None or not gradient.any() for gradient in gradients.values())


@pytest.mark.usefixtures("small")
def test_a_loss_without_gradient_is_the_same() -> None:
    embeddings, fused, targets = given()
    objective = Contrastive(NAMES, WIDTH).double()
    with torch.no_grad():
        loss = objective(embeddings, fused, targets)
    assert not loss.requires_grad
    assert torch.equal(loss, objective(embeddings, fused, targets).detach())


@pytest.mark.usefixtures("small")
def test_a_second_backward_is_refused() -> None:
    embeddings, fused, targets = given()
    embeddings.pooled["text"].requires_grad_()
    loss = Contrastive(NAMES, WIDTH).double()(embeddings, fused, targets)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="is handed out once; compute the loss again"):
        loss.backward()


class Largest(TorchDispatchMode):
    """Finds the largest tensor that is made within it."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for part in made if isinstance(made, tuple | list) else [made]:
            if isinstance(part, Tensor):
                self.numbers = max(self.numbers, part.numel())
        return made


def test_the_largest_tensor_of_a_plain_loss_is_found() -> None:
    with Largest() as largest:
        embeddings, _, targets = given(200)
        plain.contrastive(embeddings, targets, torch.ones(1))
    assert largest.numbers == 200 * 200


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_objective_takes_b_x_b_numbers(name: str) -> None:
    rows = 2400
    objective = make(name)
    embeddings, targets = random([(True, True, True)] * rows), some_targets(objective, rows)
    with Largest() as largest:
        run_all(objective, embeddings, targets)
    assert 0 < largest.numbers <= rows * rows / 4


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[int]]]:
    """Say how much memory is free on a GPU; return the list in which it is noted when that is asked for."""
    tiles._fitting.cache_clear()

    def free(amount: int) -> list[int]:
        asked: list[int] = []

        def answer(device: torch.device) -> tuple[int, int]:
            asked.append(amount)
            return amount, 80 * 2**30

        monkeypatch.setattr(torch.cuda, "mem_get_info", answer)
        return asked

    yield free
    tiles._fitting.cache_clear()


@pytest.mark.parametrize(
    ("free", "expected"), [(2**20, 1024), (2**31, 2048), (3 * 2**31, 2048), (2**36, 4096)]
)
def test_tiles_of_a_gpu_are_as_large_as_an_eighth_of_its_free_memory_allows(
    free: int, expected: int, on_a_gpu: Callable[[int], list[int]]
) -> None:
    asked = on_a_gpu(free)
    device = torch.device("cuda", 0)
    assert [tiles.edge(device) for _ in range(3)] == [expected] * 3
    assert len(asked) == 1
    assert expected == 1024 or expected**2 * tiles.HELD * tiles.SHARE <= free
