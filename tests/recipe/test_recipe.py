"""Recipes: read from a name, a file or Python, with every mistake told at once and where it stands."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fusion import Component, Recipe, RecipeError, Registry, Run, hookimpl, read_recipe
from fusion.build import build_sources
from fusion.picks import complete, shrink
from fusion.recipe.axis import over
from fusion.recipe.file import find, shipped
from fusion.recipe.text import dump, parse

ACCUMULATED = (
    "adding up the gradients of small batches is no large batch: a contrastive loss would compare each row "
    "with those of its small batch only; give all rows of a step as train.batch, and as train.micro_batch "
    "how many are encoded at once, which has the gradient of the whole batch"
)

GOOD = """\
sources:
  seen: {name: digits, view: image-text, weight: 2}
  heard: {name: digits, view: audio-text}
encoders:
  image: {name: scratch-image}
  text: {name: scratch-text}
  audio: {name: scratch-audio}
width: 16
fuser: {name: attend, heads: 2}
objectives:
  align: {name: contrastive, hub: text}
classes: [zero, one]
train: {steps: 30, batch: 8}
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write a recipe, the good one with replacements, and return its path."""

    def build(*replacements: tuple[str, str], text: str = GOOD) -> Path:
        for old, new in replacements:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / "mine.yaml"
        path.write_text(text, "utf-8")
        return path

    return build


def problems(path: Path, registry: Registry, *overrides: str) -> list[str]:
    """Return the lines of the error that a recipe raises, without its folder."""
    with pytest.raises(RecipeError, match=re.escape(path.name)) as caught:
        read_recipe(path, overrides, registry)
    return str(caught.value).replace(f"{path.parent}/", "").split("\n")


def base(**changes: Any) -> dict[str, Any]:
    """Return the good recipe as plain data."""
    return parse(GOOD)[0] | changes


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


# YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("3E+2", 300.0),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("2.", 2.0),
        (".inf", float("inf")),
        ("7", 7),
        ("-7", -7),
        ("0x1F", 31),
        ("0", 0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("falsehood", "falsehood"),
        ("true-to-life", "true-to-life"),
        ("3d", "3d"),
        ("1.2.3", "1.2.3"),
        ("4e", "4e"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("1_000", "1_000"),
        ("010", "010"),
        ("089", "089"),
        (".infinity", ".infinity"),
        ("- ", [None]),
    ],
)
def test_scalars_are_read_as_in_yaml_1_2(text: str, value: Any) -> None:
    found = parse(f"key: {text}" if text != "- " else "key:\n- ")[0]["key"]
    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize("key", ["1", "no", "null", "1e3", "true", "2024-01-31"])
def test_a_key_is_a_word_whatever_it_looks_like(key: str) -> None:
    data, lines = parse(f"a:\n  b: 1\n{key}:\n  c: 2")
    assert data == {"a": {"b": 1}, key: {"c": 2}}
    assert lines == {"a": 1, "a.b": 2, key: 3, f"{key}.c": 4}


def test_anchors_and_merges_work() -> None:
    data, _ = parse("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}")
    assert data["d"] == {"b": 1, "c": 3}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
lookalikes = st.from_regex(
    r"[-+]?[0-9._]{1,4}(e[0-9]{1,2})?|0x[0-9a-f]|tRUE|False|no|on|~|null|[0-9]{1,2}:[0-9]{2}", fullmatch=True
)


@given(st.dictionaries(st.text(min_size=1), plain | lookalikes, max_size=4))
def test_what_is_dumped_is_parsed_again_to_the_bit(data: dict[str, Any]) -> None:
    assert parse(dump(data))[0] == data


@given(lookalikes)
def test_words_that_look_like_numbers_stay_words_for_other_readers_too(word: str) -> None:
    assert parse(dump({"classes": [word]}))[0] == {"classes": [word]}
    assert yaml.safe_load(dump({"classes": [word]})) == {"classes": [word]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {c: 2\nd: 3", r"mine\.yaml:3: not YAML: "),
        ("a: 1\n\tb: 2", r"mine\.yaml:2: not YAML: found character '\\t' that cannot start any token"),
        ("a: b: c", r"mine\.yaml:1: not YAML: mapping values are not allowed here"),
        ("a: 1\nb: 2\na: 3", r"mine\.yaml:3: not YAML: key 'a' stands twice"),
        ("a:\n  b: 1\n  c: 2\n  b: 3", r"mine\.yaml:4: not YAML: key 'b' stands twice"),
        ("a: *x", r"mine\.yaml:1: not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2", r"mine\.yaml:2: not YAML: but found another document"),
        ("a: !!python/object:os.system x", r"mine\.yaml:1: not YAML: could not determine a constructor"),
        ("[a]: b", r"mine\.yaml:1: not YAML: found unhashable key"),
        ("a: \x07", r"mine\.yaml: not YAML: unacceptable character #x0007"),
        ("a: &x {b: *x}", r"mine\.yaml: not YAML that can be read: it is nested too deep"),
        ("[" * 3000, r"mine\.yaml: not YAML that can be read: it is nested too deep"),
        ("- a\n- b", r"mine\.yaml: a recipe is a mapping of keys, not list"),
        ("digits", r"mine\.yaml: a recipe is a mapping of keys, not str"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_with_the_line(
    write: Any, registry: Registry, text: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        read_recipe(write(text=text), registry=registry)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff")
    with pytest.raises(RecipeError, match=r"mine\.yaml: cannot be read as text: 'utf-8' codec"):
        read_recipe(tmp_path / "mine.yaml", registry=registry)


def test_an_empty_recipe_lacks_everything(write: Any, registry: Registry) -> None:
    lines = problems(write(text="# nothing yet\n"), registry)
    assert lines == [
        f"mine.yaml: {key}: is missing" for key in ("sources", "encoders", "objectives", "train")
    ]


# where recipes come from


def test_a_shipped_recipe_is_found_by_name(registry: Registry) -> None:
    assert "bind_digits" in shipped()
    assert find("bind_digits") == shipped()["bind_digits"]
    assert read_recipe("bind_digits", registry=registry).name == "bind_digits"


def test_every_shipped_recipe_can_be_read(registry: Registry) -> None:
    names = [read_recipe(name, registry=registry).name for name in shipped()]
    assert names == list(shipped())
    assert len(names) > 0


def test_a_misspelt_name_is_answered_with_the_closest() -> None:
    with pytest.raises(RecipeError, match="unknown recipe 'bind_digit'; did you mean 'bind_digits'"):
        read_recipe("bind_digit")


@pytest.mark.parametrize("path", ["nowhere.yaml", "nowhere.yml", "nowhere.py", "no/where"])
def test_a_missing_file_is_told(path: str) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape(path)}: no such file; give the name or the path"):
        read_recipe(path)


def test_a_file_with_spaces_in_its_name_gives_a_run_without(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / ".my recipe.yaml").write_text(GOOD)
    assert read_recipe(tmp_path / ".my recipe.yaml", registry=registry).name == "my-recipe"


def test_a_python_file_holds_a_recipe(tmp_path: Path, registry: Registry, write: Any) -> None:
    script = tmp_path / "mine.py"
    script.write_text(f"import fusion\nrecipe = fusion.Recipe(**{base()!r})\n")
    assert read_recipe(script, registry=registry) == read_recipe(write(), registry=registry)
    changed = read_recipe(script, ["train.steps=7"], registry)
    assert changed.train.steps == 7


@pytest.mark.parametrize("content", ["", "recipe = {'width': 3}"])
def test_a_python_file_without_a_recipe_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(RecipeError, match=r"mine\.py: has no variable `recipe` that holds a fusion\.Recipe"):
        read_recipe(tmp_path / "mine.py")


def test_the_path_and_the_text_of_a_recipe_give_the_same(write: Any, registry: Registry) -> None:
    path = write()
    assert read_recipe(path, registry=registry) == read_recipe(str(path), registry=registry)


# overrides


def test_values_of_a_key_are_overrides_that_give_them_back(write: Any, registry: Registry) -> None:
    given = {
        "init=runs/a, runs/b ,null": ["runs/a", "runs/b", None],
        "encoders.image={name: scratch-image, size: 16},{name: scratch-image}": [
            {"name": "scratch-image", "size": 16},
            {"name": "scratch-image"},
        ],
        "train.lr=1e-4,0.5": [1e-4, 0.5],
        "classes=[no, ja],[]": [["no", "ja"], []],
    }
    for text, values in given.items():
        path = text.partition("=")[0]
        found = over(text)
        assert [parse(f"value: {one.removeprefix(path + '=')}")[0]["value"] for one in found] == values
        for override in found:
            read_recipe(write(), [override], registry)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("init", "init: values are written path=V1,V2, such as init=runs/a,runs/b,null"),
        ("init= ", "init= : values are written path=V1,V2"),
        ("=a,b", "=a,b: values are written path=V1,V2"),
        ("init=a,b,a", 'init: "a" stands twice; give it once'),
        ("init=a]", "init=a]:1: not YAML"),
    ],
)
def test_values_that_cannot_be_read_are_told(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)):
        over(text)


def test_overrides_reach_nested_and_new_keys(write: Any, registry: Registry) -> None:
    overrides = [
        "train.lr=1e-4",
        "train.steps=7",
        "fuser.heads=4",
        "encoders.audio.tune.mode=frozen",
        "encoders.image.size=8",
        "objectives.align.pairs=[[image, text], [audio, text]]",
        "objectives.align.hub=null",
        "sources.third={name: digits, view: text}",
        "evaluate.limit=5",
        "classes=[no, yes, 1e3]",
        "name=other",
    ]
    with pytest.raises(RecipeError, match=r"mine\.yaml: classes\.2: 1000\.0: input should be a valid string"):
        read_recipe(write(), overrides, registry)
    overrides[-2] = "classes=[no, yes, '1e3']"
    recipe = read_recipe(write(), overrides, registry)
    assert recipe.train.lr == 1e-4
    assert recipe.train.steps == 7
    assert recipe.train.batch == 8
    assert recipe.fuser.options["heads"] == 4
    assert recipe.encoders["audio"].tune.mode == "frozen"
    assert recipe.encoders["audio"].tune.lr_scale == 1.0
    assert recipe.encoders["image"].options["size"] == 8
    assert recipe.objectives["align"].options["hub"] is None
    assert list(recipe.sources) == ["seen", "heard", "third"]
    assert recipe.evaluate.limit == 5
    assert recipe.classes == ["no", "yes", "1e3"]
    assert recipe.name == "other"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.stps=7", r"mine\.yaml: train\.stps: unknown key 'stps'; did you mean 'steps'\?"),
        ("fuser.heds=7", r"mine\.yaml: fuser\.heds: unknown option of attend 'heds'; did you mean 'heads'\?"),
        ("train.lr=fast", r"mine\.yaml: train\.lr: 'fast': input should be a valid number"),
        ("train.lr", r"recipe: train\.lr: an override is written path=value, such as train\.lr=1e-4"),
        ("=3", "recipe: =3: an override is written path=value"),
        ("width.x=3", r"recipe: width\.x: 'width' holds 16 and has no keys to override"),
        ("classes=[a", r"classes=\[a:1: not YAML: "),
    ],
)
def test_a_wrong_override_is_told_without_a_line_of_the_file(
    write: Any, registry: Registry, override: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=f"^({message}|.*/{message})"):
        read_recipe(write(), [override], registry)


def test_a_mistake_in_the_file_keeps_its_line_beside_an_override(write: Any, registry: Registry) -> None:
    lines = problems(write(("steps: 30", "steps_: 30")), registry, "train.steps=7")
    assert [line.split(": unknown")[0] for line in lines] == ["mine.yaml:13: train.steps_"]


# complete, shrink, round trip


def test_the_recipe_of_a_run_is_complete_and_gives_the_same_recipe(tiny_run: Run, registry: Registry) -> None:
    shrunk = shrink(read_recipe("bind_digits", registry=registry), registry)
    assert read_recipe(tiny_run.folder, registry=registry) == shrunk
    assert read_recipe(tiny_run.folder / "recipe.yaml", registry=registry) == shrunk
    data = parse((tiny_run.folder / "recipe.yaml").read_text("utf-8"))[0]
    assert data == shrunk.model_dump(mode="json")
    assert complete(tiny_run.recipe, registry) == shrunk
    assert data["encoders"]["audio"]["tune"] == {
        "mode": "full",
        "align": True,
        "lr_scale": 1.0,
        "layer_decay": 1.0,
        "recompute": False,
    }
    assert data["sources"]["seen"]["split"] == "train"


def test_a_completed_recipe_is_complete(write: Any, registry: Registry) -> None:
    recipe = read_recipe(write(), registry=registry)
    assert complete(recipe, registry) == recipe


def test_shrink_keeps_the_experiment_and_makes_it_small(registry: Registry) -> None:
    recipe = read_recipe("bind_digits", ["fuser.name=attend"], registry)
    small = shrink(recipe, registry)
    assert small.train.steps == 8
    assert small.train.batch == 16
    assert small.evaluate.limit == 32
    assert small.encoders["image"].options["dim"] == 16
    assert small.modalities == recipe.modalities
    assert list(small.objectives) == list(recipe.objectives)
    assert small.sources["heard"].options == recipe.sources["heard"].options | {"limit": 64}
    assert small.sources["seen"].weight == 2
    assert small.fuser.options == recipe.fuser.options | {"layers": 1}
    assert small.fuser.modality_dropout == recipe.fuser.modality_dropout == 0.5
    given = read_recipe("bind_digits", ["encoders.image.dim=64", "sources.seen.limit=7"], registry)
    assert shrink(given, registry).encoders["image"].options["dim"] == 16  # it may be weights of gigabytes
    assert shrink(given, registry).sources["seen"].options["limit"] == 7
    few = read_recipe("bind_digits", ["train.steps=3", "train.batch=4", "evaluate.limit=5"], registry)
    assert (shrink(few, registry).train.steps, shrink(few, registry).train.batch) == (3, 4)
    assert shrink(few, registry).evaluate.limit == 5
    auto = read_recipe("bind_digits", ["train.batch=auto"], registry)
    assert auto.train.batch == "auto"
    assert shrink(auto, registry).train.batch == 16
    with pytest.raises(RecipeError, match=r"train\.batch: 'auto' is found by training only; give a number"):
        _ = auto.train.rows


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


# options


def build(
    *,
    needed: int,
    kind: Literal["a", "b"] = "a",
    free: Any = None,
    bare=3,
    names: list[str] | None = None,
) -> None:
    """A source with options of several types; never built."""


@pytest.fixture
def offered() -> Registry:
    plugin = ModuleType("offered")
    plugin.fusion_sources = hookimpl(lambda: [Component("odd", build)], specname="fusion_sources")  # type: ignore[attr-defined]
    return Registry(plugins={"offered": plugin})


def test_options_are_checked_against_the_signature(offered: Registry) -> None:
    recipe = complete(
        Recipe(**base(sources={"one": {"name": "odd", "needed": "4", "bare": [1, "x"]}})), offered
    )
    assert recipe.sources["one"].options == {
        "needed": 4,
        "kind": "a",
        "free": None,
        "bare": [1, "x"],  # an option without a type takes anything
        "names": None,
    }


def test_a_default_that_no_recipe_can_hold_is_told() -> None:
    def build(*, kind: Any = complex) -> None: ...

    plugin = ModuleType("offered")
    plugin.fusion_sources = hookimpl(lambda: [Component("odd", build)], specname="fusion_sources")  # type: ignore[attr-defined]
    with pytest.raises(
        RecipeError,
        match=r"sources\.one\.kind: odd has a default that a recipe cannot hold \(<class 'complex'>\)",
    ):
        complete(Recipe(**base(sources={"one": {"name": "odd"}})), Registry(plugins={"offered": plugin}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"sources\.one\.needed: odd needs this option \(needed: int\)"),
        ({"needed": 1.5}, r"sources\.one\.needed: 1\.5 does not fit \(needed: int\): .* fractional part"),
        (
            {"needed": 1, "kind": "c"},
            r"sources\.one\.kind: 'c' does not fit \(kind: Literal\['a', 'b'\] = 'a'\): Input should",
        ),
        (
            {"needed": 1, "names": "x"},
            r"sources\.one\.names: 'x' does not fit .*: Input should be a valid list",
        ),
        (
            {"needed": 1, "nmes": []},
            r"unknown option of odd 'nmes'; did you mean 'names'\? known: bare, free, ",
        ),
    ],
)
def test_an_option_that_does_not_fit_is_told(
    offered: Registry, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=f"^recipe: .*{message}"):
        complete(Recipe(**base(sources={"one": {"name": "odd", **options}})), offered)


def test_a_script_brings_its_own_source(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        """
from fusion import Component, Recipe, hookimpl


@hookimpl
def fusion_sources():
    return [Component("mine", lambda *, rows=4: [{"text": f"row {n}"} for n in range(rows)])]


recipe = Recipe(
    sources={"mine": {"name": "mine", "rows": 3}},
    encoders={"text": {"name": "scratch-text"}},
    objectives={"digit": {"name": "classify", "classes": 2}},
    train={"steps": 1, "batch": 2},
)
"""
    )
    registry = Registry()
    recipe = read_recipe(script, ["sources.mine.rows=5"], registry)
    assert recipe.name == "mine"
    assert len(build_sources(recipe.sources, registry)["mine"]) == 5
    assert registry.faults == []
    assert registry.find("source", "digits")  # the installed ones are still there, and not contested


def test_a_name_that_would_break_metric_keys_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"sources\.a/b: 'a/b': string should match pattern"):
        Recipe(
            sources={"a/b": {"name": "digits"}},
            encoders={"text": {"name": "scratch-text"}},
            objectives={"digit": {"name": "classify", "classes": 2}},
            train={"steps": 1},
        )
