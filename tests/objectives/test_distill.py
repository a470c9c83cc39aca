"""What a student learns of a teacher, against the papers written out in float64, and by hand."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion import Objective
from fusion.objectives.distill import Distill
from fusion.objectives.distill_contrast import DistillContrast
from fusion.objectives.distill_labels import DistillLabels
from fusion.objectives.distill_relations import DistillRelations
from fusion.testing import check_objective
from tests.objectives.toys import NAMES, random

WIDTH = 4
VECTORS: list[Any] = [Distill, DistillRelations, DistillContrast]
NAN = float("nan")
Vectors = NDArray[np.float64]

PRESENT = [(True, True, True)] * 5 + [(True, False, True), (False, True, True), (True, True, False)] * 2
BOTH = [row for row, (image, _, audio) in enumerate(PRESENT) if image and audio]


def noise(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(x: Vectors) -> Vectors:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cosine(student: Vectors, teacher: Vectors) -> float:
    return float(np.mean([1 - s @ t for s, t in zip(unit(student), unit(teacher), strict=True)]))


def huber(x: float) -> float:
    """As the paper on relations has it, quadratic up to 1."""
    return 0.5 * x * x if abs(x) <= 1 else abs(x) - 0.5


def distances(student: Vectors, teacher: Vectors) -> float:
    pairs = list(permutations(range(len(student)), 2))

    def scaled(x: Vectors) -> dict[tuple[int, int], float]:
        apart = {(i, j): float(np.linalg.norm(x[i] - x[j])) for i, j in pairs}
        return {pair: value / np.mean(list(apart.values())) for pair, value in apart.items()}

    ours, theirs = scaled(student), scaled(teacher)
    return float(np.mean([huber(theirs[pair] - ours[pair]) for pair in pairs]))


def angles(student: Vectors, teacher: Vectors) -> float:
    def angle(x: Vectors, i: int, j: int, k: int) -> float:
        return float(unit(x[i] - x[j]) @ unit(x[k] - x[j]))

    triples = permutations(range(len(student)), 3)
    return float(np.mean([huber(angle(teacher, *t) - angle(student, *t)) for t in triples]))


def relations(student: Vectors, teacher: Vectors) -> float:
    return distances(student, teacher) + 2 * angles(student, teacher)


def contrast(student: Vectors, teacher: Vectors) -> float:
    """InfoNCE at a temperature of 0.1, the mean of both directions."""
    logits = unit(student) @ unit(teacher).T / 0.1
    ways = [x - np.log(np.exp(x).sum(axis=1, keepdims=True)) for x in (logits, logits.T)]
    return float(np.mean([-np.trace(way) / len(way) for way in ways]))


REFERENCE = {Distill: cosine, DistillRelations: relations, DistillContrast: contrast}


@pytest.mark.parametrize("kind", VECTORS)
def test_of_two_modalities_the_rows_that_have_both_take_part(kind: Any) -> None:
    embeddings = random(PRESENT, garbage=NAN)
    student, teacher = (embeddings.pooled[name][BOTH].double().numpy() for name in ("audio", "image"))
    found = kind(NAMES, WIDTH, teacher="image", student="audio")(embeddings, noise(len(PRESENT), WIDTH), {})
    assert len(BOTH) == 7
    assert found.item() == pytest.approx(REFERENCE[kind](student, teacher), abs=1e-5)


@pytest.mark.parametrize("kind", VECTORS)
def test_of_an_earlier_run_the_rows_that_it_answered_take_part(kind: Any) -> None:
    fused, given = noise(len(PRESENT), WIDTH), noise(len(PRESENT), WIDTH, seed=4)
    given[[1, 6, 7]] = NAN
    left = [row for row in range(len(PRESENT)) if row not in (1, 6, 7)]
    expected = REFERENCE[kind](fused[left].double().numpy(), given[left].double().numpy())
    found = kind(NAMES, WIDTH)(random(PRESENT), fused, {"teacher/fused": given})
    assert found.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", VECTORS)
def test_the_teacher_may_have_another_width(kind: Any) -> None:
    torch.manual_seed(0)
    objective = kind(NAMES, WIDTH, target="there", dim=6)
    assert objective.targets["there"].shape == (6,)
    fused, given = noise(len(PRESENT), WIDTH), noise(len(PRESENT), 6, seed=4)
    weights = [part.detach().double().numpy() for part in objective.parameters()]
    student = fused.double().numpy()
    if kind is DistillRelations:  # distances and angles need no common space
        assert weights == []
    else:
        [weight] = weights
        student = student @ weight.T
    found = objective(random(PRESENT), fused, {"there": given})
    assert found.item() == pytest.approx(REFERENCE[kind](student, given.double().numpy()), abs=1e-5)
    assert list(kind(NAMES, WIDTH).parameters()) == []


@pytest.mark.parametrize("kind", VECTORS)
def test_no_gradient_reaches_the_teacher(kind: Any) -> None:
    embeddings = random([(True, True, True)] * 5)
    pooled = {name: x.clone().requires_grad_() for name, x in embeddings.pooled.items()}
    fused, given = noise(5, WIDTH).requires_grad_(), noise(5, WIDTH, seed=4).requires_grad_()
    objective = kind(NAMES, WIDTH, teacher="image", student="audio")
    objective(embeddings._replace(pooled=pooled), fused, {}).backward()
    assert pooled["image"].grad is None
    assert pooled["audio"].grad is not None
    assert pooled["audio"].grad.any()
    kind(NAMES, WIDTH)(embeddings, fused, {"teacher/fused": given}).backward()
    assert given.grad is None
    assert fused.grad is not None
    assert fused.grad.any()


@pytest.mark.parametrize("kind", [Distill, DistillRelations])
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(kind: Any) -> None:
    fused = noise(5, WIDTH)
    found = kind(NAMES, WIDTH)(random([(True, True, True)] * 5), fused, {"teacher/fused": fused})
    assert abs(found) < 1e-6


@pytest.mark.parametrize("kind", VECTORS)
def test_learning_leads_to_the_teacher(kind: Any) -> None:
    embeddings, given = random([(True, True, True)] * 12), noise(12, WIDTH, seed=4)
    fused = noise(12, WIDTH).requires_grad_()
    adam = torch.optim.Adam([fused], lr=0.05)
    first = kind(NAMES, WIDTH)(embeddings, fused, {"teacher/fused": given}).item()
    for _ in range(200):
        adam.zero_grad()
        loss = kind(NAMES, WIDTH)(embeddings, fused, {"teacher/fused": given})
        loss.backward()
        adam.step()
    assert loss < 0.4 * first


@pytest.mark.parametrize(("kind", "options"), [(k, o) for k in VECTORS for o in ({}, {"student": "audio"})])
def test_with_a_teacher_in_the_model_the_contract_is_kept_too(kind: Any, options: dict[str, Any]) -> None:
    assert len(check_objective(kind, teacher="image", **options)) >= 4


@pytest.mark.parametrize("kind", VECTORS)
def test_wrong_sides_are_told(kind: Any) -> None:
    with pytest.raises(ValueError, match="unknown modality 'imag'; did you mean 'image'"):
        kind(NAMES, WIDTH, teacher="imag")
    with pytest.raises(ValueError, match="unknown modality 'sound'"):
        kind(NAMES, WIDTH, student="sound")
    with pytest.raises(ValueError, match="image is both teacher and student; name two modalities"):
        kind(NAMES, WIDTH, teacher="image", student="image")
    with pytest.raises(ValueError, match="dim is that of what an earlier run gave"):
        kind(NAMES, WIDTH, teacher="image", dim=8)


# cosine, by hand


def test_cosine_of_two_rows_by_hand() -> None:
    fused = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    given = torch.tensor([[1.0, 0.0], [4.0, 3.0]])  # cosines 1 and 3/5
    found = Distill(NAMES, 2)(random([(True, True, True)] * 2), fused, {"teacher/fused": given})
    torch.testing.assert_close(found, torch.tensor(0.2))


# relations


def test_relations_of_three_rows_by_hand() -> None:
    fused = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])  # a right angle
    given = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])  # a line
    embeddings, targets = random([(True, True, True)] * 3), {"teacher/fused": given}
    root = 2**0.5
    # distances 2, 2, 2 root 2, of mean (4 + 2 root 2) / 3; and 1, 2, 1, of mean 4 / 3
    mean = (4 + 2 * root) / 3
    apart = [2 / mean - 0.75, 2 / mean - 1.5, 2 * root / mean - 0.75]
    far = sum(0.5 * x * x for x in apart) / 3
    # cosines 0, 1 / root 2, 1 / root 2 at the rows; and 1, -1, 1
    turned = [0 - 1, 1 / root + 1, 1 / root - 1]
    bent = sum(huber(x) for x in turned) / 3
    for angle in (0.0, 3.0):
        found = DistillRelations(NAMES, 2, angle=angle)(embeddings, fused, targets)
        torch.testing.assert_close(found, torch.tensor(far + angle * bent))


def test_relations_are_the_same_for_a_space_that_is_turned_moved_and_stretched() -> None:
    fused = noise(9, WIDTH)
    turn, _ = torch.linalg.qr(noise(WIDTH, WIDTH, seed=5))
    targets = {"teacher/fused": 7 * fused @ turn + 3}
    assert DistillRelations(NAMES, WIDTH)(random([(True, True, True)] * 9), fused, targets) < 1e-6


@pytest.mark.parametrize("neighbours", [2, 3, 5])
def test_fewer_neighbours_are_those_that_come_next_and_take_part(neighbours: int) -> None:
    embeddings = random(PRESENT)
    student, teacher = (embeddings.pooled[name][BOTH].double().numpy() for name in ("audio", "image"))
    n = len(BOTH)
    found = DistillRelations(NAMES, WIDTH, teacher="image", student="audio", neighbours=neighbours, angle=1.0)
    total = []
    for j in range(n):
        near = [(j + ahead) % n for ahead in range(1, neighbours + 1)]
        for i, k in permutations(near, 2):
            cosines = [unit(x[i] - x[j]) @ unit(x[k] - x[j]) for x in (teacher, student)]
            total.append(huber(cosines[0] - cosines[1]))
    expected = distances(student, teacher) + np.mean(total)
    assert found(embeddings, noise(len(PRESENT), WIDTH), {}).item() == pytest.approx(expected, abs=1e-5)


def test_equal_samples_have_no_direction_and_no_endless_gradient() -> None:
    x = noise(5, WIDTH)
    fused = torch.stack([x[0], x[0], x[1], x[1] + 1e-7, x[2]]).requires_grad_()
    targets = {"teacher/fused": x}
    loss = DistillRelations(NAMES, WIDTH)(random([(True, True, True)] * 5), fused, targets)
    loss.backward()
    assert fused.grad is not None
    assert fused.grad.isfinite().all()
    assert fused.grad.abs().max() < 10
    same = torch.ones(5, WIDTH).requires_grad_()
    DistillRelations(NAMES, WIDTH)(random([(True, True, True)] * 5), same, targets).backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()


# contrast


def test_contrast_of_two_rows_by_hand() -> None:
    fused = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    targets = {"teacher/fused": fused}  # cosines 1 and 0: log(1 + e^-1/t) each way
    found = DistillContrast(NAMES, 2, temperature=0.5)(random([(True, True, True)] * 2), fused, targets)
    torch.testing.assert_close(found, torch.tensor(1 + np.exp(-2)).log().float())


def test_equal_samples_and_equal_labels_are_not_told_apart() -> None:
    embeddings = random([(True, True, True)] * 4, content={"audio": [5, 5, 6, 7]})
    label = {"label": torch.tensor([-100, -100, 1, 1])}
    student, teacher = (embeddings.pooled[name].double().numpy() for name in ("audio", "image"))
    logits = student @ teacher.T / 0.1
    positive = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
    ways = [x - np.log(np.exp(x).sum(axis=1, keepdims=True)) for x in (logits, logits.T)]
    expected = np.mean([-(way * positive / 2).sum() / 4 for way in ways])
    objective = DistillContrast(NAMES, WIDTH, teacher="image", student="audio", same="label")
    assert objective(embeddings, noise(4, WIDTH), label).item() == pytest.approx(expected, abs=1e-5)


# soft labels


def softmax(x: Vectors, temperature: float) -> Vectors:
    e = np.exp(x / temperature)
    return e / e.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def divergence(p: Vectors, q: Vectors) -> float:
    return float((p * np.log(p / q)).sum(axis=1).mean())


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_labels_are_those_of_the_paper(share: float, temperature: float) -> None:
    torch.manual_seed(0)
    objective = DistillLabels(NAMES, WIDTH, classes=3, share=share, temperature=temperature)
    embeddings = random([(True, True, True)] * 5 + [(False, False, False)])
    fused, theirs = noise(6, WIDTH), 3 * noise(6, 3, seed=4).double().numpy()
    soft = torch.from_numpy(softmax(theirs, 1)).float()
    soft[1] = NAN
    label = torch.tensor([2, 0, -100, -100, 1, -100])
    ours = objective.head(fused).detach().double().numpy()
    kept = [0, 2, 3, 4]  # the last row has nothing
    soft_part = divergence(softmax(theirs[kept], temperature), softmax(ours[kept], temperature))
    hard = -np.mean([np.log(softmax(ours, 1)[row, label[row]]) for row in (0, 1, 4)])
    expected = (1 - share) * hard + share * temperature**2 * soft_part
    found = objective(embeddings, fused, {"label": label, "soft": soft})
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_a_teacher_of_the_same_mind_leaves_nothing_to_learn() -> None:
    objective = DistillLabels(NAMES, WIDTH, classes=3, share=1.0)
    fused = noise(4, WIDTH)
    targets = {"label": torch.tensor([0, 1, 2, 0]), "soft": objective.predict(fused).score.detach()}
    assert abs(objective(random([(True, True, True)] * 4), fused, targets)) < 1e-6


def test_a_teacher_that_is_certain_is_a_label() -> None:
    objective = DistillLabels(NAMES, WIDTH, classes=3, share=1.0, temperature=1.0)
    fused, label = noise(3, WIDTH), torch.tensor([2, 0, 1])
    soft = torch.eye(3)[label]  # zeros have no logarithm
    missing = {"label": torch.full((3,), -100)}
    found = objective(random([(True, True, True)] * 3), fused, {"soft": soft, **missing})
    cross = DistillLabels(NAMES, WIDTH, classes=3, share=0.0)
    cross.load_state_dict(objective.state_dict())
    expected = cross(random([(True, True, True)] * 3), fused, {"soft": soft, "label": label})
    torch.testing.assert_close(found, expected)


def test_a_modality_teaches_through_a_head_of_its_own() -> None:
    torch.manual_seed(0)
    objective: Any = DistillLabels(NAMES, WIDTH, classes=3, teacher="image", share=0.5, temperature=2.0)
    assert "soft" not in objective.targets
    embeddings, fused = random(PRESENT, garbage=NAN), noise(len(PRESENT), WIDTH).requires_grad_()
    pooled = {name: x.clone().requires_grad_() for name, x in embeddings.pooled.items()}
    label = torch.full((len(PRESENT),), -100)
    label[[0, 3, 6]] = torch.tensor([1, 2, 0])  # row 6 has no image
    loss = objective(embeddings._replace(pooled=pooled), fused, {"label": label})
    seen = [row for row, (image, _, _) in enumerate(PRESENT) if image]
    theirs = objective.teacher_head(embeddings.pooled["image"][seen]).detach().double().numpy()
    ours = objective.head(fused).detach().double().numpy()
    hard = -np.mean([np.log(softmax(ours, 1)[row, label[row]]) for row in (0, 3, 6)])
    probe = -np.mean([np.log(softmax(theirs, 1)[seen.index(row), label[row]]) for row in (0, 3)])
    expected = 0.5 * hard + 0.5 * 4 * divergence(softmax(theirs, 2), softmax(ours[seen], 2)) + probe
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    loss.backward()
    assert all(x.grad is None for x in pooled.values())
    assert len(check_objective(DistillLabels, teacher="image", classes=3)) >= 4


def test_only_its_label_teaches_the_head_of_the_teacher() -> None:
    objective: Any = DistillLabels(NAMES, WIDTH, classes=3, teacher="image", share=1.0)
    missing = {"label": torch.full((3,), -100)}
    objective(random([(True, True, True)] * 3), noise(3, WIDTH), missing).backward()
    assert objective.head[1].weight.grad.any()
    assert not objective.teacher_head[1].weight.grad.any()


def test_a_wrong_teacher_of_labels_is_told() -> None:
    with pytest.raises(ValueError, match="unknown modality 'imag'; did you mean 'image'"):
        DistillLabels(NAMES, WIDTH, classes=3, teacher="imag")
    assert issubclass(DistillLabels, Objective)
