"""Recipes: every mistake told at once and where it stands."""

from typing import Any

import pytest

from fusion import Recipe, RecipeError, Registry, read_recipe
from fusion.picks import complete
from tests.recipe.recipes import ACCUMULATED, base, problems


def test_a_recipe_is_read_with_every_option_written_out(write: Any, registry: Registry) -> None:
    recipe = read_recipe(write(), registry=registry)
    assert recipe.name == "mine"
    assert recipe.modalities == ("image", "text", "audio")
    assert recipe.sources["seen"].weight == 2
    assert recipe.sources["heard"].options == {
        "view": "audio-text",
        "split": "train",
        "noise": 0.0,
        "limit": None,
    }
    assert recipe.fuser.options == {"heads": 2, "layers": 2, "dropout": 0.0}
    assert recipe.objectives["align"].options["temperature"] == 0.07
    assert recipe.train.seed == 0


def test_five_mistakes_are_told_at_once_with_their_lines(write: Any, registry: Registry) -> None:
    path = write(
        ("  audio: {name: scratch-audio}", "  audio: {name: scratch-adio}"),
        ("heads: 2", "head: 2"),
        ("hub: text", "hub: text, temperature: hot"),
        ("steps: 30", "step: 30"),
        ("classes: [zero, one]", "evaluate: {retrieval: [[image, sound]]}"),
    )
    lines = problems(path, registry)
    assert [line.split(" ")[1] for line in lines] == [
        "encoders.audio.name:",
        "fuser.head:",
        "objectives.align.temperature:",
        "evaluate.retrieval:",
        "train.steps:",  # which is missing now
        "train.step:",
    ]
    assert [int(line.split(":")[1]) for line in lines] == [7, 9, 11, 12, 13, 13]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "width: 16",
            "widht: 16",
            "mine.yaml:8: widht: unknown key 'widht'; did you mean 'width'? known: augment, best, classes, "
            "encoders, evaluate, fuser, init, name, objectives, prior, sources, study, teacher, train, "
            "width",
        ),
        (
            "steps: 30",
            "steps: 30, stesp: 3",
            "mine.yaml:13: train.stesp: unknown key 'stesp'; did you mean 'steps'? known: adversarial, ",
        ),
        (
            "{name: scratch-audio}",
            "{name: scratch-audio, tune: {mode: full, lr_scal: 2}}",
            "mine.yaml:7: encoders.audio.tune.lr_scal: unknown option of full 'lr_scal'; did you mean "
            "'lr_scale'? known: align, layer_decay, lr_scale, mode",
        ),
        (
            "name: attend",
            "name: atend",
            "mine.yaml:9: fuser.name: unknown fuser 'atend'; did you mean 'attend'? known: attend, ",
        ),
        (
            "heads: 2",
            "heds: 2",
            "mine.yaml:9: fuser.heds: unknown option of attend 'heds'; did you mean 'heads'? "
            "known: dropout, heads, layers, modality_dropout, name",
        ),
        (
            "heads: 2",
            "heads: two",
            "mine.yaml:9: fuser.heads: 'two' does not fit (heads: int = 4): Input should be a valid integer",
        ),
        (
            "view: audio-text}",
            "view: smell}",
            "mine.yaml:3: sources.heard.view: 'smell' does not fit (view: ",
        ),
        (
            "width: 16",
            "augment: {words: [{name: text-typo}]}",
            "mine.yaml:8: augment.words: unknown modality 'words'; known: audio, image, text",
        ),
        (
            "width: 16",
            "augment: {text: [{name: text-typo}, {name: text-tipo}]}",
            "mine.yaml:8: augment.text.1.name: unknown augmentation 'text-tipo'; did you mean "
            "'text-typo'? known: ",
        ),
        (
            "width: 16",
            "augment: {text: [{name: text-typo, chance: 2}]}",
            "mine.yaml:8: augment.text.0.chance: 2: input should be less than or equal to 1",
        ),
        (
            "width: 16",
            "augment: {text: [{name: text-typo, chnce: 0.5}]}",
            "mine.yaml:8: augment.text.0.chnce: unknown option of text-typo 'chnce'; did you mean 'chance'? "
            "known: chance, ",
        ),
        ("steps: 30, ", "", "mine.yaml:13: train.steps: is missing"),
        ("train: {steps: 30, batch: 8}\n", "", "mine.yaml: train: is missing"),
        ("{name: scratch-audio}", "{size: 3}", "mine.yaml:7: encoders.audio.name: is missing"),
        (
            "batch: 8",
            "batch: 0",
            "mine.yaml:13: train.batch: 0: a batch is a whole number of rows from 1, or 'auto'",
        ),
        (
            "batch: 8",
            "batch: large",
            "mine.yaml:13: train.batch: 'large': a batch is a whole number of rows from 1, or 'auto'",
        ),
        (
            "batch: 8",
            "batch: auto, micro_batch: 4",
            "mine.yaml:13: train.batch: 'auto' is the largest batch that fits without train.micro_batch; "
            "give a number beside it",
        ),
        (
            "batch: 8",
            "accumulate: 4",
            f"mine.yaml:13: train.accumulate: {ACCUMULATED}",
        ),
        (
            "batch: 8",
            "gradient_accumulation_steps: 4",
            f"mine.yaml:13: train.gradient_accumulation_steps: {ACCUMULATED}",
        ),
        (
            "batch: 8",
            "lr: .inf",
            "mine.yaml:13: train.lr: inf: input should be a finite number",
        ),
        (
            "weight: 2",
            "weight: .nan",
            "mine.yaml:2: sources.seen.weight: nan: input should be a finite number",
        ),
        (
            "batch: 8",
            "precision: fp8",
            "mine.yaml:13: train.precision: 'fp8': input should be 'fp32', 'bf16' or 'fp16'",
        ),
        (
            "batch: 8",
            f"seed: {2**63}",
            f"mine.yaml:13: train.seed: {2**63}: input should be less than {2**63}",
        ),
        (
            "  audio: {name: scratch-audio}",
            "  Audio: {name: scratch-audio}",
            "mine.yaml:7: encoders.Audio: a modality is a lower-case identifier such as 'image' or ",
        ),
        (
            "classes: [zero, one]",
            "evaluate: {retrieval: [[image, txt]]}",
            "mine.yaml:12: evaluate.retrieval: unknown modality 'txt'; did you mean 'text'? "
            "known: audio, image, text",
        ),
        (
            "classes: [zero, one]",
            "evaluate: {retrieval: [[text, text]]}",
            "mine.yaml:12: evaluate.retrieval: 'text' is compared with itself; name two modalities",
        ),
        (
            "classes: [zero, one]",
            "evaluate: {retrieval: [[text]]}",
            "mine.yaml:12: evaluate.retrieval.0.1: is missing",
        ),
        (
            "classes: [zero, one]",
            "evaluate: {retrieval: [text]}",
            "mine.yaml:12: evaluate.retrieval.0: 'text': input should be a valid tuple",
        ),
        (
            "classes: [zero, one]",
            "evaluate: {retrieval: some}",
            "mine.yaml:12: evaluate.retrieval: 'some': input should be 'all' or a list",
        ),
        (
            "classes: [zero, one]",
            "evaluate: {subsets: 3}",
            "mine.yaml:12: evaluate.subsets: 3: input should be a valid list",
        ),
        (
            "classes: [zero, one]",
            "evaluate: {subsets: [[image], [depth]]}",
            "mine.yaml:12: evaluate.subsets: unknown modality 'depth'; known: audio, image, text",
        ),
        (
            "classes: [zero, one]",
            "evaluate: {subsets: [[]]}",
            "mine.yaml:12: evaluate.subsets.0: []: list should have at least 1 item after validation, not 0",
        ),
        (
            "width: 16",
            "evaluate: {zero_shot: {modality: words, templates: ['{}']}}",
            "mine.yaml:8: evaluate.zero_shot.modality: unknown modality 'words'; known: audio, image, text",
        ),
        (
            "width: 16",
            "evaluate: {zero_shot: {modality: text, templates: ['a photo']}}",
            "mine.yaml:8: evaluate.zero_shot.templates: ['a photo']: template 'a photo' has no place for the "
            "class; write it as {}",
        ),
        (
            "classes: [zero, one]",
            "evaluate: {zero_shot: {modality: text, templates: ['{}']}}",
            "mine.yaml: classes: zero-shot classification needs the names of the classes",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line(
    write: Any, registry: Registry, old: str, new: str, message: str
) -> None:
    [line] = problems(write((old, new)), registry)
    assert line.startswith(message)


@pytest.mark.parametrize("name", ["../up", "a/b", ".", "..", "", "-x", ".hidden", "a\nb", "a b"])
def test_a_name_that_would_lead_out_of_the_runs_folder_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"^recipe: name: .*string should match pattern"):
        Recipe(**base(name=name))


@pytest.mark.parametrize("name", ["name", "tune", "weight", "encoders"])
def test_a_modality_may_be_named_like_a_key_of_the_core(name: str, registry: Registry) -> None:
    encoders = {name: {"name": "scratch-image", "tune": {"mod": "full"}}}
    with pytest.raises(
        RecipeError, match=rf"encoders\.{name}\.tune\.mod: .* did you mean 'mode'\? known: align, "
    ):
        complete(Recipe(**base(encoders=encoders)), registry)


def test_a_plugin_in_quarantine_is_named_where_its_component_is_missed(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSION_BLOCK", "digits")
    lines, known = problems(write(), Registry()), ", ".join(Registry().names("source"))
    assert [line for line in lines if "source 'digits'" in line] == [
        f"mine.yaml:{line}: sources.{name}.name: unknown source 'digits'; known: {known}"
        for line, name in ((2, "seen"), (3, "heard"))
    ]
    assert lines.count("  blocked by FUSION_BLOCK: digits") == 2


def test_an_empty_recipe_lacks_everything(write: Any, registry: Registry) -> None:
    lines = problems(write(text="# nothing yet\n"), registry)
    assert lines == [
        f"mine.yaml: {key}: is missing" for key in ("sources", "encoders", "objectives", "train")
    ]


def test_subsets_and_pairs_follow_the_order_of_the_recipe() -> None:
    recipe = Recipe(**base())
    assert recipe.subsets() == [
        ("image",),
        ("text",),
        ("audio",),
        ("image", "text"),
        ("image", "audio"),
        ("text", "audio"),
        ("image", "text", "audio"),
    ]
    assert recipe.retrieval_pairs() == [
        ("image", "text"),
        ("image", "audio"),
        ("text", "image"),
        ("text", "audio"),
        ("audio", "image"),
        ("audio", "text"),
    ]
    chosen = Recipe(**base(evaluate={"subsets": [["audio", "image"]], "retrieval": [["audio", "image"]]}))
    assert chosen.subsets() == [("image", "audio")]
    assert chosen.retrieval_pairs() == [("audio", "image")]


def test_a_name_that_would_break_metric_keys_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"sources\.a/b: 'a/b': string should match pattern"):
        Recipe(
            sources={"a/b": {"name": "digits"}},
            encoders={"text": {"name": "scratch-text"}},
            objectives={"digit": {"name": "classify", "classes": 2}},
            train={"steps": 1},
        )
