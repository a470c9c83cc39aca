"""Every recipe runs, in its tiny form, and says in its head what it is."""

import json
import runpy
from pathlib import Path

import pytest
from safetensors.torch import load_file

from fusion import Recipe, Registry, Run, read_recipe, study, train
from fusion.picks import shrink
from fusion.recipe.file import SHIPPED, shipped
from fusion.recipe.text import dump

SCRIPTS = sorted(SHIPPED.glob("*.py"))


def test_there_are_recipes_and_scripts() -> None:
    assert {"bind_digits", "fuse_digits"} <= shipped().keys()
    assert {path.stem for path in SCRIPTS} >= {
        "avdigits",
        "bind_digits",
        "distill_digits",
        "mfn",
        "missing_audio",
        "photos_minilm",
        "vgg16_cifar10",
        "wise_ft",
    }


@pytest.mark.parametrize("name", shipped())
def test_every_recipe_trains_tiny(name: str, registry: Registry, tmp_path: Path) -> None:
    run = train(shrink(read_recipe(name, registry=registry), registry), tmp_path / name, registry=registry)
    assert run.finished
    assert run.report.is_file()
    assert run.metrics["train/steps"] == 8


def test_the_pairs_of_avdigits_train_tiny(packs: Path, tmp_path: Path) -> None:
    registry = Registry()
    recipe = read_recipe(str(SHIPPED / "avdigits.py"), registry=registry)
    run = train(shrink(recipe, registry), tmp_path / "run", registry=registry)
    assert 120 <= run.metrics["train/rows/image+text+audio"] < 128  # less the torn recording
    assert run.metrics["data/bad_rows"] == 1
    assert run.metrics["evaluate/rows"] == 32


def test_the_students_of_distill_digits_train_tiny_with_a_tiny_teacher(packs: Path, tmp_path: Path) -> None:
    registry = Registry()
    file = str(SHIPPED / "distill_digits.py")
    script = runpy.run_path(file)
    seeing = read_recipe(_written(script["seeing"], tmp_path / "seeing.yaml"), registry=registry)
    teacher = train(shrink(seeing, registry), tmp_path / "seeing", registry=registry)
    for student, objectives in script["STUDENTS"].items():
        registry = Registry()
        changes = ["sources.few.share=0.5", "sources.rest.share=0.5", f"objectives={objectives}"]
        changes.append(f"teacher={teacher.folder if student != 'labels' else 'null'}")
        recipe = shrink(read_recipe(file, changes, registry), registry)
        run = train(recipe, tmp_path / student, registry=registry)
        assert run.manifest.get("teacher", {}).get("rows") == (
            None if student == "labels" else {"few": 19, "rest": 20}  # less the torn recording
        )
        assert "subsets/audio/accuracy" in run.metrics


def _written(recipe: Recipe, path: Path) -> Path:
    path.write_text(dump(recipe.model_dump(mode="json")), "utf-8")
    return path


def test_three_modalities_of_published_features_train_tiny(packs: Path, tmp_path: Path) -> None:
    script = runpy.run_path(str(SHIPPED / "mfn.py"))
    for corpus, given in {"youtube": 3, "mmmo": 3, "pom": 2}.items():
        registry = Registry()
        read_recipe(str(SHIPPED / "mfn.py"), registry=registry)  # so that its source is known
        run = train(shrink(script["of"](corpus), registry), tmp_path / corpus, registry=registry)
        assert len(run.recipe.modalities) == given
        assert len(run.recipe.encoders["audio"].options["mean"]) == (43 if corpus == "pom" else 74)
        rows = {key.removeprefix("train/rows/"): n for key, n in run.metrics.items() if "train/rows/" in key}
        assert rows["audio+video"] > rows.get("audio+video+text", 0)  # hardly a row has a text
        assert ("audio+video+text" in rows) == (given == 3)
        assert run.metrics["evaluate/rows"] == 6
    row = script["Opinions"](corpus="youtube", split="valid")[3]
    assert {name: part.shape for name, part in row.items() if name != "told"} == {
        "video": (15, 36),
        "text": (15, 300),
    }
    assert row["told"] == 0


def test_vgg16_walks_both_ways(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    script = runpy.run_path(str(SHIPPED / "vgg16_cifar10.py"))
    short = ["train.steps=1", "train.batch=8", "encoders.image.model=vgg11"]
    tasks = {task: [*overrides, *short] for task, overrides in script["TASKS"].items()}
    script["TASKS"].update(tasks)
    script["walk"]("clothes", "objects")
    told = [line.split("  ") for line in capsys.readouterr().out.splitlines() if "->" in line]
    stages = [stage for _, stage, *_ in told]
    assert stages == [
        "clothes, learned",
        "clothes, pruned",
        "clothes, quantised",
        "objects, fine-tuned",
        "objects, quantised",
        "clothes after objects",
    ]
    sizes = {stage: float(size.removesuffix(" MB")) for _, stage, _, size, _ in told}
    assert sizes["clothes, quantised"] < sizes["clothes, pruned"] / 3.9  # 8 of 32 bits, and scales
    accuracy = {stage: share for _, stage, share, *_ in told}
    learned, tuned = (Run(f"runs/{name}").metrics for name in ("vgg16_cifar10", "vgg16_cifar10-2"))
    assert accuracy["clothes, learned"] == f"{learned['subsets/image/accuracy']:.1%}"
    assert accuracy["objects, fine-tuned"] == f"{tuned['subsets/image/accuracy']:.1%}"
    report = (tmp_path / "runs/vgg16_cifar10-2/report.html").read_text("utf-8")
    assert "From clothes to objects" in report
    stored = load_file(tmp_path / "runs/vgg16_cifar10/clothes-pruned.safetensors")
    weights = [value for value in stored.values() if value.ndim > 1]
    assert sum(int((value == 0).sum()) for value in weights) == pytest.approx(
        sum(value.numel() for value in weights) / 2, rel=1e-3
    )


def test_the_text_tower_of_photos_minilm_may_come_from_a_folder(packs: Path, tmp_path: Path) -> None:
    registry = Registry()
    overrides = ["encoders.text.model=/no/such/folder"]
    recipe = read_recipe(str(SHIPPED / "photos_minilm.py"), overrides, registry)
    text = recipe.encoders["text"]
    assert (text.name, text.options["model"], text.tune.mode) == ("hf-text", "/no/such/folder", "frozen")
    run = train(shrink(recipe, registry), tmp_path / "run", registry=registry)
    assert run.recipe.name == "photos_minilm"


def test_the_curve_of_wise_ft_ends_at_the_two_models_and_is_drawn(packs: Path, tmp_path: Path) -> None:
    script = runpy.run_path(str(SHIPPED / "wise_ft.py"))
    script["curve"].__globals__.update(BEFORE=3, AFTER=3)
    points = script["curve"](0, tmp_path / "seed-0")
    ends = [Run(tmp_path / "seed-0" / name).metrics for name in ("before", "after")]
    keys = [f"source/{name}/subsets/image/accuracy" for name in ("mnist", "usps")]
    assert len(points) == 11
    assert [points[0], points[10]] == [tuple(100 * found[key] for key in keys) for found in ends]
    script["draw"]([points], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["speech_digits", "photos", "emoji", "sounds", "lit"])
def test_a_torn_file_of_a_pack_is_counted(name: str, registry: Registry, packs: Path, tmp_path: Path) -> None:
    recipe = shrink(read_recipe(name, registry=registry), registry)
    run = train(recipe, tmp_path / "run", registry=registry)
    assert run.metrics["data/bad_rows"] == 1
    [bad] = (json.loads(line) for line in (run.folder / "ledger.jsonl").read_text("utf-8").splitlines())
    assert bad["source"] in recipe.sources
    assert "cannot read the" in bad["reason"]


@pytest.mark.parametrize("name", shipped())
def test_every_recipe_opens_with_its_command_and_what_it_shows(name: str) -> None:
    command, blank, about, *_ = shipped()[name].read_text("utf-8").splitlines()
    verb = "study" if read_recipe(name).study.versions else "train"
    assert command in (f"# fusion {verb} {name}", f"# FUSION_DATA=DIR fusion {verb} {name}")
    assert ("$FUSION_DATA" in shipped()[name].read_text("utf-8")) == command.startswith("# FUSION_DATA")
    assert blank == "#"
    assert len(about) > 20


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_is_short_and_does_nothing_when_imported(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path))
    assert len(path.read_text("utf-8").splitlines()) <= 80
    assert list(tmp_path.iterdir()) == []


def test_the_script_of_bind_digits_holds_the_same_recipe_as_its_file() -> None:
    script = runpy.run_path(str(SHIPPED / "bind_digits.py"))
    assert isinstance(script["recipe"], Recipe)
    assert script["recipe"] == read_recipe("bind_digits")


def test_no_training_row_of_bind_digits_holds_an_image_and_a_sound(registry: Registry) -> None:
    from fusion.build import build_sources

    sources = build_sources(read_recipe("bind_digits").sources, registry)
    kinds = {frozenset(source[index]) for source in sources.values() for index in range(len(source))}
    assert kinds == {frozenset({"image", "text", "label"}), frozenset({"audio", "text", "label"})}


@pytest.mark.parametrize("name", [name for name in shipped() if read_recipe(name).study.versions])
def test_every_study_of_a_recipe_runs_tiny(name: str, tmp_path: Path) -> None:
    wanted = read_recipe(name).study
    done = study(name, out=tmp_path / "study", seeds=1, tiny=True)
    assert done.findings.failed == {}
    assert {version.split()[0] for version in done.runs} == wanted.versions.keys()
    assert list(done.findings.comparison.measures) == wanted.measure
