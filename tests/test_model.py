"""The model: absent content has no influence at all, and parts that break their contract are named."""

from collections.abc import Mapping, Sequence
from itertools import product
from types import ModuleType
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fusion import (
    Batch,
    Component,
    Embeddings,
    Encoder,
    Encoding,
    Fuser,
    Model,
    Objective,
    PluginError,
    Processor,
    Recipe,
    RecipeError,
    Registry,
    Target,
    hookimpl,
)
from fusion.build import build_model
from fusion.tunings.frozen import Frozen

NAMES = ("image", "text", "audio")
WIDTH = 8
REGISTRY = Registry()
FUSERS = REGISTRY.names("fuser")
OBJECTIVES = REGISTRY.names("objective")
NEEDED: Mapping[str, Mapping[str, Any]] = {
    "classify": {"classes": 3},
    "regress": {"target": "value"},
    "multilabel": {"classes": 2},
    "cdan": {"classes": 3},
    "groupdro": {"classes": 3},
    "distill": {"teacher": "image", "student": "audio"},
    "distill-relations": {"teacher": "image", "student": "audio"},
    "distill-contrast": {"teacher": "image", "student": "audio"},
    "distill-labels": {"classes": 3, "teacher": "image"},
}
SOURCES = ("seen", "heard")

Present = list[tuple[bool, bool, bool]]
presence = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=5)


class Raw(Processor):
    def decode(self, raw: Any) -> Any:
        return raw


class Tower(Encoder):
    """Turns three numbers into five, and gives each modality another kind of tokens."""

    def __init__(self, tokens: int = 0, masked: bool = False) -> None:
        super().__init__()
        self.dim, self.processor = 5, Raw()
        self.layer, self.tokens, self.masked = nn.Linear(3, 5), tokens, masked

    def forward(self, x: Tensor) -> Encoding:
        pooled = self.layer(x)
        if not self.tokens:
            return Encoding(pooled)
        tokens = pooled[:, None, :] * torch.arange(1, self.tokens + 1)[:, None]
        mask = torch.arange(self.tokens) < x[:, :1].abs() * 3 + 1 if self.masked else None
        return Encoding(pooled, tokens, mask)


def objective(name: str) -> Objective:
    component = REGISTRY.find("objective", name).component
    place = (NAMES, WIDTH, SOURCES) if "sources" in component.positional() else (NAMES, WIDTH)
    made: Objective = component.resolve()(*place, **NEEDED.get(name, {}))
    return made


def build(fuser: str = "mean", objectives: Sequence[str] = ("contrastive",)) -> Model:
    torch.manual_seed(0)
    found = REGISTRY.find("fuser", fuser).component
    made = found.resolve()(NAMES, WIDTH, **found.tiny)
    parts = {name: objective(name) for name in objectives}
    towers: dict[str, Encoder] = {"image": Tower(2), "text": Tower(3, masked=True), "audio": Tower()}
    origins = {**{f"encoders.{name}": f"tower of {name}" for name in NAMES}, "fuser": f"the fuser {fuser}"}
    return Model(towers, WIDTH, made, parts, {name: index + 1.0 for index, name in enumerate(parts)}, origins)


def batch(present: Present, shown: Present | None = None) -> Batch:
    generator = torch.Generator().manual_seed(1)
    b = len(present)
    here = dict(zip(NAMES, torch.tensor(present).T, strict=True))
    seen = dict(zip(NAMES, torch.tensor(shown or present).T, strict=True))
    x = {name: torch.randn(b, 3, generator=generator) for name in NAMES}
    return Batch(
        present=here,
        shown={name: here[name] & seen[name] for name in NAMES},
        inputs={name: {"x": x[name][here[name]]} for name in NAMES if here[name].any()},
        targets={
            "label": torch.arange(b) % 3,
            "value": torch.arange(b) / 3,
            "labels": torch.tensor([[1.0, float("nan")]]).repeat(b, 1),
        },
        content={name: torch.where(here[name], torch.arange(b) % 2 + 1, 0) for name in NAMES},
        source=torch.arange(b) % 2,
        row=torch.arange(b),
    )


def dirty(embeddings: Embeddings, garbage: float) -> Embeddings:
    """Write garbage into every absent slot, real tokens' neighbours included."""

    def spoil(value: Tensor, keep: Tensor) -> Tensor:
        return torch.where(keep.unsqueeze(-1), value, garbage)

    return embeddings._replace(
        pooled={name: spoil(value, embeddings.present[name]) for name, value in embeddings.pooled.items()},
        tokens={name: spoil(value, embeddings.mask[name]) for name, value in embeddings.tokens.items()},
        content={
            name: torch.where(embeddings.present[name], value, 7)
            for name, value in embeddings.content.items()
        },
    )


def result(model: Model, given: Batch, garbage: float | None) -> dict[str, Tensor]:
    """Return fused vectors, losses and all gradients; with garbage in absent slots, if any is given."""
    embeddings = model.embed(given)
    if garbage is not None:
        embeddings = dirty(embeddings, garbage)
    fused = model.fuse(embeddings, given.shown)
    losses = {name: part(embeddings, fused, given.targets) for name, part in model.objectives.items()}
    model.zero_grad()
    total = torch.stack(list(losses.values())).sum()
    if total.requires_grad:  # without a row and without parameters of its own an objective is a plain zero
        total.backward()
    gradients = {f"d {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"fused": fused, **losses, **gradients}


def test_there_are_fusers_and_objectives() -> None:
    assert len(FUSERS) >= 6
    assert len(OBJECTIVES) >= 5


@pytest.mark.parametrize(("fuser", "objective"), list(product(FUSERS, OBJECTIVES)))
@settings(max_examples=12, deadline=None)
@given(present=presence, garbage=st.sampled_from([float("nan"), float("inf"), -3e38, 1.0]))
def test_absent_content_changes_no_bit_of_anything(
    fuser: str, objective: str, present: Present, garbage: float
) -> None:
    model, given = build(fuser, [objective]), batch(present)
    clean, spoilt = result(model, given, None), result(model, given, garbage)
    assert clean.keys() == spoilt.keys()
    for name, value in clean.items():
        assert value.isfinite().all(), name
        assert torch.equal(value, spoilt[name]), name


@pytest.mark.parametrize("fuser", FUSERS)
def test_a_hidden_modality_changes_no_fused_vector_but_still_aligns(fuser: str) -> None:
    model = build(fuser)
    everything = [(True, True, True)] * 4
    hidden = batch(everything, shown=[(True, True, False)] * 4)
    other = hidden._replace(inputs=hidden.inputs | {"audio": {"x": torch.full((4, 3), 9.0)}})
    first, second = model(hidden), model(other)
    assert torch.equal(*(model.fuse(model.embed(given), given.shown) for given in (hidden, other)))
    assert first.total != second.total  # the contrastive loss sees what is hidden from the fuser only


def test_the_total_is_the_weighted_sum_of_the_parts() -> None:
    losses = build(objectives=OBJECTIVES)(batch([(True, True, True), (True, True, False)]))
    expected = sum((index + 1) * losses.parts[name] for index, name in enumerate(OBJECTIVES))
    torch.testing.assert_close(losses.total, expected)
    assert list(losses.parts) == OBJECTIVES


def test_present_rows_stand_at_their_places() -> None:
    model = build("attend")
    given = batch([(False, True, False), (True, False, False), (False, True, False), (True, True, False)])
    embeddings = model.embed(given)
    for name, rows in (("image", [1, 3]), ("text", [0, 2, 3])):
        encoding = model.align[name](model.encoders[name](**given.inputs[name]))
        assert torch.equal(embeddings.pooled[name][rows], encoding.pooled)
        assert torch.equal(embeddings.tokens[name][rows], encoding.tokens)
        absent = [row for row in range(4) if row not in rows]
        assert not embeddings.pooled[name][absent].any()
        assert not embeddings.tokens[name][absent].any()
        assert not embeddings.mask[name][absent].any()
        norms = embeddings.pooled[name][rows].norm(dim=1)
        torch.testing.assert_close(norms, torch.ones(len(rows)))
    assert embeddings.mask["image"].tolist() == [[False] * 2, [True] * 2, [False] * 2, [True] * 2]
    assert embeddings.pooled["audio"].tolist() == [[0.0] * WIDTH] * 4  # no row has it
    assert list(embeddings.tokens) == ["image", "text"]
    assert list(embeddings.pooled) == list(NAMES)


def test_a_row_is_embedded_alike_in_any_batch() -> None:
    model = build()
    whole = batch([(True, False, True), (False, True, True), (True, True, True)])
    alone = whole._replace(
        present={name: part[2:] for name, part in whole.present.items()},
        inputs={name: {"x": part["x"][-1:]} for name, part in whole.inputs.items()},
    )
    for name in NAMES:
        together = model.embed(whole).pooled[name][2:]
        torch.testing.assert_close(model.embed(alone).pooled[name], together, atol=1e-6, rtol=0)


def test_a_frozen_encoder_stays_in_evaluation_mode_and_takes_no_gradient() -> None:
    model = build()
    Frozen().prepare(cast(Encoder, model.encoders["text"]))
    model.train()
    assert {name: part.training for name, part in model.encoders.items()} == {
        "image": True,
        "text": False,
        "audio": True,
    }
    model(batch([(True, True, True)] * 3)).total.backward()
    assert all(parameter.grad is None for parameter in model.encoders["text"].parameters())
    assert all(parameter.grad is not None for parameter in model.align["text"].parameters())
    assert all(parameter.grad is not None for parameter in model.encoders["image"].parameters())


def test_parameters_are_counted_by_part() -> None:
    model = build(objectives=["contrastive", "classify"])
    Frozen().prepare(cast(Encoder, model.encoders["text"]))
    assert model.count() == {
        "encoders.image": (20, 20),  # 3 x 5 + 5
        "encoders.text": (20, 0),
        "encoders.audio": (20, 20),
        "align.image": (50, 50),  # 5 + 5 + 5 x 8
        "align.text": (50, 50),
        "align.audio": (50, 50),
        "objectives.contrastive": (1, 1),
        "objectives.classify": (43, 43),  # 8 + 8 + 8 x 3 + 3
    }


class Wrong(Tower):
    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Encoding:
        return self.answer(super().forward(x).pooled)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("answer", "given"),
    [
        (lambda pooled: Encoding(pooled[:, :4]), r"pooled of shape \(2, 4\), expected \(2, 5\)"),
        (lambda pooled: Encoding(pooled[:1]), r"pooled of shape \(1, 5\), expected \(2, 5\)"),
        (lambda pooled: Encoding(pooled[:, None]), r"pooled of shape \(2, 1, 5\), expected \(2, 5\)"),
        (lambda pooled: pooled, r"a Tensor, expected a fusion\.Encoding"),
        (lambda pooled: (pooled, None), r"a tuple, expected a fusion\.Encoding"),
        (lambda pooled: None, r"a NoneType, expected a fusion\.Encoding"),
    ],
)
def test_an_encoder_that_answers_wrong_is_named(answer: Any, given: str) -> None:
    model = build()
    model.encoders["audio"] = Wrong(answer)
    with pytest.raises(PluginError, match=rf"^encoders\.audio \(tower of audio\) returned {given}$"):
        model(batch([(True, True, True), (False, True, True)]))


def test_a_fuser_that_answers_wrong_is_named() -> None:
    class Short(Fuser):
        def forward(self, embeddings: Embeddings) -> Tensor:
            return embeddings.pooled["text"][:, :3]

    model = build()
    model.fuser = Short(NAMES, WIDTH)
    with pytest.raises(
        PluginError, match=r"fuser \(the fuser mean\) returned shape \(2, 3\), expected \(2, 8\)"
    ):
        model(batch([(True, True, True), (False, True, True)]))


class Reads(Objective):
    """Reads one target; has no parameters."""

    def __init__(self, modalities: Sequence[str], width: int, *, target: Any = None) -> None:
        super().__init__(modalities, width)
        self.targets = {"label": target}

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return fused.square().sum()


def reading(**targets: Target) -> Model:
    model = build()
    model.objectives = nn.ModuleDict(
        {name: Reads(NAMES, WIDTH, target=target) for name, target in targets.items()}
    )
    return model


@pytest.mark.parametrize("other", [Target(torch.float32), Target(torch.long, (2,))])
def test_two_objectives_that_disagree_about_a_target_are_refused(other: Target) -> None:
    with pytest.raises(
        RecipeError,
        match=r"objectives\.second: reads target 'label' as torch\.\w+ \(.*\), another objective as "
        r"torch\.int64 \(\); give them targets of different names",
    ):
        reading(first=Target(torch.long), second=other).targets()


def test_two_objectives_that_share_a_target_take_the_narrower_range() -> None:
    model = reading(
        first=Target(torch.long), second=Target(torch.long, below=9), third=Target(torch.long, below=5)
    )
    assert model.targets() == {"label": Target(torch.long, below=5)}


def built(**parts: Any) -> Model:
    """Build a model from a recipe whose encoder, fuser or objective is the given callable."""
    plugin = ModuleType("odd")

    @hookimpl
    def fusion_encoders() -> list[Component]:
        return [Component("odd-encoder", parts.get("encoder", Tower), "text")]

    @hookimpl
    def fusion_fusers() -> list[Component]:
        return [Component("odd-fuser", parts["fuser"])] if "fuser" in parts else []

    vars(plugin).update(fusion_encoders=fusion_encoders, fusion_fusers=fusion_fusers)
    recipe = Recipe(
        sources={"none": {"name": "none"}},
        encoders={name: {"name": "odd-encoder"} for name in NAMES},
        fuser={"name": "odd-fuser" if "fuser" in parts else "mean"},
        objectives={"align": {"name": "contrastive"}},
        train={"steps": 1},
    )
    return build_model(recipe, Registry(plugins={"odd": plugin}))


def test_a_model_is_built_from_a_recipe() -> None:
    model = built()
    assert model.modalities == NAMES
    assert model.origins["encoders.text"] == "odd-encoder of plugin 'odd' (given in Python)"


def test_a_component_of_another_kind_is_refused() -> None:
    with pytest.raises(
        PluginError, match=r"odd-encoder of plugin 'odd' .* builds a Linear, not a fusion\.Encoder"
    ):
        built(encoder=lambda: nn.Linear(2, 2))
    with pytest.raises(
        PluginError, match=r"odd-fuser of plugin 'odd' .* builds a Tower, not a fusion\.Fuser"
    ):
        built(fuser=lambda modalities, width: Tower())


def test_a_component_that_cannot_be_built_is_named() -> None:
    def broken() -> Encoder:
        raise ZeroDivisionError("oh")

    with pytest.raises(
        PluginError,
        match=r"encoders\.image: odd-encoder of plugin 'odd' .* cannot be built: ZeroDivisionError\('oh'\)",
    ):
        built(encoder=broken)
