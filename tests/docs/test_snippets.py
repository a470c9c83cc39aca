"""The documentation is true: its Python runs, its recipes and commands are valid, its links lead on."""

import fnmatch
import importlib
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pytest
import soundfile
import yaml
from PIL import Image
from pydantic import BaseModel

from fusion import Registry, Run, hookspecs, read_recipe, testing
from fusion.cli import cli
from fusion.recipe.file import shipped
from fusion.recipe.schema import Recipe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
LANGUAGES = {  # of each page, so that a page cannot lose its tests by a change of mark-up
    "README.md": {"python", "yaml", "toml", "console", "text"},
    "index.md": {"console"},
    "start.md": {"console", "text", "python"},
    "bind.md": {"console", "yaml"},
    "fuse.md": {"console", "yaml"},
    "adapt.md": {"console"},
    "modality.md": {"console", "text"},
    "neighbours.md": set(),
    "guide.md": {"python", "yaml", "console", "text"},
    "plugins.md": {"python", "yaml", "toml", "console"},
    "metrics.md": set(),
    "decisions.md": set(),
    "results.md": {"console"},
    "transfer.md": {"console", "yaml"},
    "performance.md": {"console"},
    "scale.md": {"console", "bash"},
    "serve.md": {"console", "bash", "json"},
    "shrink.md": {"console", "python", "text"},
    "search.md": {"console", "python", "text"},
    "track.md": {"console", "python", "yaml"},
    "tune.md": {"console", "python", "yaml", "text"},
    "trust.md": {"console", "python", "yaml", "text"},
    "app.md": {"console"},
    "hub.md": {"console", "python", "text"},
    "modalities.md": {"console", "yaml"},
    "CONTRIBUTING.md": {"console"},
    "CHANGELOG.md": set(),
}

IN_ORDER = ("search.md",)
"""Pages whose Python needs what the commands before it leave; a test of its own runs all blocks of each."""

named = pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)


class Block(NamedTuple):
    """A fenced block; one that opens with `# path` is that file."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        match = re.match(r"# ([\w./-]+\.(?:py|yaml|toml))\n", self.text)
        return match[1] if match else None


def blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text("utf-8")
    found = [
        Block(match[1], match[2], text[: match.start()].count("\n") + 2)
        for match in re.finditer(r"^```([\w-]*)\n(.*?)^```$", text, re.M | re.S)
    ]
    return [block for block in found if not languages or block.language in languages]


def pages_with(language: str) -> Any:
    pages = [page for page in TEXTS if language in LANGUAGES[page.name]]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.name)


@pytest.fixture
def place(page: Path, tmp_path: Path, tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files that a page holds, a run, and data of one's own; the page's plugin is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copytree(tiny_run.folder, "runs/bind_digits")
    _own_data(tmp_path / "mine")
    for block in blocks(page):
        if block.file:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")
    if (tmp_path / "pyproject.toml").is_file():
        _install(tomllib.loads((tmp_path / "pyproject.toml").read_text("utf-8")), tmp_path)
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def _own_data(folder: Path) -> None:
    """Twelve photos, sounds and captions, as the guide's reader has them; one sound is missing."""
    folder.mkdir()
    lines = ["image,audio,text,label"]
    rng = np.random.default_rng(0)
    for number in range(12):
        kind = number % 2
        if number % 3:
            pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
        soundfile.write(folder / f"{number}.wav", 0.1 * rng.standard_normal((9000, 2)), 44100)
        image = f"{number}.png" if number % 3 else ""
        lines.append(f"{image},{number}.wav,{['a cat', 'a dog'][kind]} number {number},{kind}")
    soundfile.write(folder / "bark.wav", 0.1 * rng.standard_normal(8000), 8000)
    (folder / "7.wav").unlink()
    (folder / "train.csv").write_text("\n".join(lines), "utf-8")
    (folder / "test.csv").write_text("\n".join(lines[:7]), "utf-8")


def _install(project: dict[str, Any], folder: Path) -> None:
    """Write what pip leaves of a package for `importlib.metadata`."""
    about = project["project"]
    name, version = about["name"], about["version"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    points = "".join(f"{point} = {value}\n" for point, value in about["entry-points"]["fusion"].items())
    (info / "entry_points.txt").write_text(f"[fusion]\n{points}")


def _registry(page: Path) -> Registry:
    """The installed plugins, the page's own by entry point, and its modules that are plugins themselves."""
    single = [
        Path(block.file).stem
        for block in blocks(page, "python")
        if block.file and "/" not in block.file and "@hookimpl" in block.text
    ]
    registry = Registry(plugins={name: importlib.import_module(name) for name in single})
    assert registry.faults == []
    return registry


@named
def test_a_page_has_the_blocks_that_are_tested(page: Path) -> None:
    assert {block.language for block in blocks(page)} == LANGUAGES[page.name]
    assert page.read_text("utf-8").count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize(
    "page",
    [page for page in TEXTS if "python" in LANGUAGES[page.name] and page.name not in IN_ORDER],
    ids=lambda page: page.name,
)
def test_python_runs(page: Path, place: Path) -> None:
    namespace: dict[str, Any] = {}
    for block in blocks(page, "python"):
        code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
        if block.file is None:
            exec(code, namespace)
        elif Path(block.file).name.startswith("test_"):
            tests = runpy.run_path(block.file)
            called = [test() for name, test in tests.items() if name.startswith("test_")]
            assert len(called) > 0
        elif "/" not in block.file:
            importlib.import_module(Path(block.file).stem)


@pages_with("yaml")
def test_recipes_are_valid(page: Path, place: Path) -> None:
    registry = _registry(page)
    for number, block in enumerate(blocks(page, "yaml")):
        path = place / f"recipe{number}.yaml"
        path.write_text(block.text, "utf-8")
        assert read_recipe(path, registry=registry).modalities


@pages_with("toml")
def test_a_plugin_is_found_by_its_entry_point_and_keeps_its_contracts(page: Path, place: Path) -> None:
    offers = [offer for offer in _registry(page) if offer.origin.plugin == "motion"]
    assert offers
    for offer in offers:
        if (offer.kind, page.name) != ("encoder", "README.md"):  # which brings no source to sample
            assert testing.check(offer)


def test_the_plugin_of_the_readme_has_under_40_lines_and_keeps_its_contract() -> None:
    written = [block for block in blocks(ROOT / "README.md", "python") if block.file]
    assert len(written) == 2
    lines = [line for block in written for line in block.text.splitlines() if line.strip()]
    assert len(lines) < 40
    namespace = {"__name__": "readme"}
    exec(written[1].text, namespace)
    processor, encoder = namespace["MotionProcessor"](), namespace["Motion"](dim=16)  # type: ignore[operator]
    samples = [np.ones((t, 3), np.float32) for t in (2, 5)]
    inputs = processor.collate([processor.decode(sample) for sample in samples])
    assert encoder(**inputs).pooled.allclose(encoder(**inputs).pooled[:1], atol=1e-6)  # equal means
    assert encoder(**inputs).mask.sum(1).tolist() == [2, 5]


@pages_with("console")
def test_commands_exist(page: Path) -> None:
    lines = [line[2:] for block in blocks(page, "console") for line in block.text.splitlines()]
    assert all(line.startswith("$ ") for block in blocks(page, "console") for line in block.text.splitlines())
    assert lines
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[0] in ("torchrun", "accelerate"):
            words = words[words.index("-m") + 1 :]
        if words[0] == "make":
            assert words[1] in targets
        elif words[0] == "fusion":
            _parse(words[1:])
        elif words[0] in ("uvx", "pipx"):  # which get what an index or a wheel has
            _parse(words[words.index("fusion") + 1 :])
        else:
            assert words[0] == "cd" or words[:2] == ["pip", "install"], f"nothing checks {line}"


def _parse(words: list[str]) -> None:
    """Let click parse a command without running it; read the recipe of those that take one."""
    command: click.Command = cli
    while words[0] == "--plugin":
        assert (ROOT / words[1]).is_file(), f"no file {words[1]!r}"
        words = words[2:]
    context = click.Context(cli, info_name="fusion")
    if words == ["--help"]:
        return
    while isinstance(command, click.Group):
        name, *words = words
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    context = command.make_context(name, list(words), parent=context)
    assert context is not None
    if context.params.get("recipe") in shipped():
        read_recipe(context.params["recipe"], context.params["overrides"])


@named
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    targets = re.findall(r"!?\[[^\]]+\]\(([^)\s]+)\)", text)
    for target in targets:
        if not target.startswith("https://"):
            assert (page.parent / target.partition("#")[0]).exists(), target
    assert targets or page.name != "README.md"


def test_the_tree_of_the_readme_is_true() -> None:
    [tree] = blocks(ROOT / "README.md", "text")
    folder, listed = Path(), set()
    for line in tree.text.splitlines():
        indent = len(line) - len(line.lstrip())
        names = re.split(r"\s{2,}", line.strip())[0].split(" ")
        if indent == 0:
            folder = Path(names[0])
        for name in names:
            if not name.startswith("*"):
                path = folder / name if indent else Path(name)
                assert (ROOT / path).exists(), path
                listed.add(path.as_posix())
    packages = {f"fusion/{path.parent.name}" for path in ROOT.glob("fusion/*/__init__.py")}
    modules = {f"fusion/{path.name}" for path in ROOT.glob("fusion/*.py") if not path.name.startswith("__")}
    plugins = {f"plugins/{path.parent.name}" for path in ROOT.glob("plugins/*/__init__.py")}
    assert all((packages, modules, plugins))
    assert packages | modules | plugins <= listed


def test_every_key_of_a_recipe_is_in_the_guide_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([\w.*]+)` \| (.+?) \|", (ROOT / "docs/guide.md").read_text("utf-8"), re.M))
    defaults = dict(_defaults(Recipe))
    assert len(defaults) > 20
    assert rows.keys() == defaults.keys()
    for key, default in defaults.items():
        if key != "name":
            written = rows[key] if default is ... else yaml.safe_load(rows[key].strip("`"))
            assert written == ("required" if default is ... else default), key


def _defaults(section: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its default, `...` where it is required; `*` for names that the author chooses."""
    for name, field in section.model_fields.items():
        key = f"{path}{name}"
        inner = [kind for kind in _models(field.annotation) if kind.__name__ not in ("ZeroShot", "PriorPick")]
        free = "dict[" in str(field.annotation) or str(field.annotation).startswith("list[")
        own = not inner or free or field.is_required()
        if own and not (name == "name" and path.endswith("*.")):
            factory = field.default_factory
            yield key, ... if field.is_required() else factory() if factory else field.default  # type: ignore[call-arg]
        for kind in inner:
            yield from _defaults(kind, f"{key}.*." if free else f"{key}.")


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for part in getattr(annotation, "__args__", ()) for kind in _models(part)]


ASKED = ("init/", "train/best_", "subsets/SUBSET/calibrated/")
"""How metrics begin that only a recipe has which asks for them."""


def test_every_metric_and_file_of_a_run_is_documented(tiny_run: Run) -> None:
    text = (ROOT / "docs/metrics.md").read_text("utf-8")
    sections = {part.partition("\n")[0]: part for part in text.split("\n## ")}
    keys = {name: re.findall(r"^\| `([^`]+)` \|", part, re.M) for name, part in sections.items()}
    assert tiny_run.metrics
    for key in tiny_run.metrics:
        assert any(fnmatch.fnmatch(key, _pattern(known)) for known in keys["metrics.json"]), key
    for known in keys["metrics.json"]:
        if "TASK" not in known and "NAME" not in known and not known.startswith(ASKED):
            assert any(fnmatch.fnmatch(key, _pattern(known)) for key in tiny_run.metrics), known
    step = (tiny_run.folder / "metrics.jsonl").read_text("utf-8").splitlines()[0]
    for key in yaml.safe_load(step):
        assert any(fnmatch.fnmatch(key, _pattern(known)) for known in keys["metrics.jsonl"]), key
    files = {path.name for path in tiny_run.folder.iterdir()}
    assert files
    sometimes = {
        "calibration.json",
        "manifest.sig",
        "ledger.jsonl",
        "encoders",
        "notes.json",
        "compression.json",
        "comparison.json",
        "fisher.safetensors",
        "retention.json",
        "profile.json",
        "scores.jsonl",
        "track",
        "stress-NAME.json",
        "index",
    }
    assert files | sometimes == set(keys["The folder"])


def _pattern(key: str) -> str:
    return re.sub(r"QUERY|GALLERY|IMAGE|SUBSET|PART|METRIC|TASK|NAME|(?<=@)K", "*", key)


def test_every_hook_is_in_the_plugin_guide() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("fusion_")}
    assert hooks
    written = re.findall(r"^\| `(fusion_\w+)\(", (ROOT / "docs/plugins.md").read_text("utf-8"), re.M)
    assert sorted(written) == sorted(hooks)


def test_every_message_of_the_guide_is_one_of_ours() -> None:
    files = [*ROOT.glob("fusion/**/*.py"), *ROOT.glob("plugins/**/*.py")]
    code = "".join(path.read_text("utf-8") for path in sorted(files))
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # messages that are written over several lines
    table = (ROOT / "docs/guide.md").read_text("utf-8").partition("## What went wrong")[2]
    messages = re.findall(r"^\| `([^|]+)` \|", table, re.M)
    assert len(messages) > 20
    kinds = {"key", "option of", "encoder", "recipe"}  # the words that are filled into "unknown ..."
    for message in messages:
        for part in message.split("…"):
            plain = part.strip().removeprefix("unknown ")
            assert plain in code or plain in kinds, message


def test_every_figure_says_how_it_was_measured() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    figures = [line for line in prose.splitlines() if re.search(r"\d\.\d %|\d s\b|\d minutes", line)]
    assert figures
    for line in figures:
        assert re.search(r"<!-- figure: .*fusion \w+", line), line
