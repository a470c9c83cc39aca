"""Contributions of modalities: closed forms, absent ones, what is told of an answer, and their sum."""

import pytest
import torch
from torch import Tensor

from fusion import Embeddings, Fuser, Registry
from fusion.explain.contributions import Contributions, contributions, of_answer, play
from fusion.explain.shapley import subsets
from tests.explain.toys import MODALITIES, Rule, Ruled, Told, Total, batch, model

HERE = [1.0, 0.0, 0.0, 0.0]
ROWS = [
    {"image": HERE, "text": HERE, "audio": HERE},
    {"image": HERE, "audio": HERE},
    {"text": HERE},
]


def solved(rule: Rule, classes: bool = False) -> Contributions:
    made = model(Ruled(rule), {"it": Told(classes)})
    given = batch(made, ROWS)
    answers = play(made, made.embed(given), subsets(MODALITIES))
    told = {subset: answer["it"] for subset, answer in answers.items()}
    return contributions(MODALITIES, told, given.present)


def first(number: Tensor) -> Tensor:
    """A fused vector that begins with this number, (b,), and 0 after it."""
    return torch.stack([number, *[torch.zeros_like(number)] * 3], dim=1)


def test_a_modality_that_decides_alone_gets_everything() -> None:
    found = solved(lambda shown: first(5 * shown["text"] - 1))
    assert found.nothing[:, 0].tolist() == [-1, -1, -1]
    assert found.full[:, 0].tolist() == [4, -1, 4]
    assert {name: part[:, 0].tolist() for name, part in found.parts.items()} == {
        "image": [0, 0, 0],
        "text": [5, 0, 5],
        "audio": [0, 0, 0],
    }


def test_what_two_do_together_they_share_and_an_absent_one_gets_nothing() -> None:
    # 3 for the image, 2 for text and audio together, 6 for all three: 3 + 2, 1 + 2, 1 + 2
    def rule(shown: dict[str, Tensor]) -> Tensor:
        image, text, audio = shown.values()
        return first(3 * image + 2 * text * audio + 6 * image * text * audio)

    found = solved(rule)
    parts = {name: part[:, 0].tolist() for name, part in found.parts.items()}
    assert parts["image"] == pytest.approx([5, 3, 0], abs=1e-12)
    assert parts["text"] == pytest.approx([3, 0, 0], abs=1e-12)
    assert parts["audio"] == pytest.approx([3, 0, 0], abs=1e-12)
    assert (parts["image"][2], parts["text"][1], parts["audio"][2]) == (0.0, 0.0, 0.0)


def test_an_absent_modality_gets_exactly_nothing_also_where_a_fuser_is_not_exact() -> None:
    found = solved(lambda shown: first(shown["image"] + torch.rand(3)))
    absent = [found.parts["image"][2], found.parts["text"][1], found.parts["audio"][2]]
    assert not any(part.any() for part in absent)
    assert found.parts["text"][0, 0] != 0


def test_of_a_class_the_score_of_the_one_that_is_answered_is_told() -> None:
    def rule(shown: dict[str, Tensor]) -> Tensor:
        # class 2 when all are there, class 0 else
        image, text, audio = shown.values()
        return torch.stack([0.5 * audio, 0 * text, image * text, 0 * text], dim=1)

    found = solved(rule, classes=True)
    assert found.full.tolist() == [1.0, 0.5, 0.0]
    assert found.parts["image"].tolist() == pytest.approx([0.5, 0, 0])
    assert found.parts["text"].tolist() == pytest.approx([0.5, 0, 0])
    assert found.parts["audio"].tolist() == pytest.approx([0, 0.5, 0])  # of another class


def test_what_is_told_of_an_answer() -> None:
    score = torch.tensor([[0.1, 0.9], [0.7, 0.3]])
    assert torch.equal(of_answer(score, torch.tensor([1, 0])), torch.tensor([0.9, 0.7]))
    flags = (score > 0.5).long()
    assert torch.equal(of_answer(score, flags), score)
    numbers = torch.tensor([0.5, 2.0])
    assert torch.equal(of_answer(numbers, numbers), numbers)


@pytest.mark.parametrize("name", Registry().names("fuser"))
def test_they_add_up_from_what_every_fuser_says_of_nothing(registry: Registry, name: str) -> None:
    torch.manual_seed(0)
    fuser: Fuser = registry.find("fuser", name).component.resolve()(MODALITIES, 4)
    made = model(fuser, {"numbers": Told(False), "class": Told(True)})
    rows = [{key: torch.randn(4).tolist() for key in row} for row in ROWS]
    given = batch(made, rows)
    embeddings = made.embed(given)
    answers = play(made, embeddings, subsets(MODALITIES))
    nobody = {key: torch.zeros(3, dtype=torch.bool) for key in MODALITIES}
    with torch.no_grad():
        nothing, full = made.fuse(embeddings, nobody), made.fuse(embeddings, given.present)
    assert nothing.isfinite().all()
    best = full.argmax(dim=1, keepdim=True)
    expected = {"numbers": full - nothing, "class": (full - nothing).gather(1, best)[:, 0]}
    for task, difference in expected.items():
        told = {subset: answer[task] for subset, answer in answers.items()}
        found = contributions(MODALITIES, told, given.present)
        total = torch.stack(list(found.parts.values())).sum(0)
        torch.testing.assert_close(total, difference.double(), rtol=0, atol=1e-6)
        assert not found.parts["text"][1].any()
        assert not found.parts["image"][2].any()


def test_the_fuser_runs_once_for_every_subset() -> None:
    calls: list[Embeddings] = []
    fuser = Total(MODALITIES, 4)
    fuser.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0]))
    made = model(fuser, {"one": Told(False), "two": Told(True)})
    play(made, made.embed(batch(made, ROWS)), subsets(MODALITIES))
    shown = [tuple(name for name in MODALITIES if call.present[name][0]) for call in calls]
    assert shown == subsets(MODALITIES)
