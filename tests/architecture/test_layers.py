"""Imports go downwards only, the command line starts without torch, and files stay short."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "fusion").rglob("*.py"))

# A module imports from the layers above it in this list, or from its own folder. A folder stands for all
# that is in it and not listed itself.
LAYERS = [
    ["errors"],
    ["component", "sharing", "division", "files", "launch", "peek", "attention", "noise"],
    ["ties", "search.rows"],
    ["quantization", "hookspecs", "recipe.problems", "recipe.picks", "recipe.text", "manifest", "tensors"],
    ["builtin", "recipe", "options"],
    ["registry", "signature"],
    ["encoder", "augmentation", "corruption", "batch", "data.decode", "described"],
    ["buckets", "embeddings"],
    ["losses"],
    [
        "fuser",
        "objective",
        "tuning",
        "prior",
        "merging",
        "estimator",
        "attack",
        "logger",
        "without",
        "recompute",
        "compression",
    ],
    [
        "fusers",
        "objectives",
        "augmentations",
        "corruptions",
        "tunings",
        "priors",
        "mergings",
        "estimators",
        "loggers",
        "model",
    ],
    ["attacks", "threat", "compressions"],
    ["picks", "new"],
    ["building"],
    ["build"],
    ["recipe.file", "fitted"],
    ["run"],
    ["shrink.rebuild", "search.record"],
    ["data"],
    ["report", "explain.shapley", "explain.contributions"],
    ["evaluation", "training.checkpoint", "training.progress"],
    ["cache", "explain", "hub"],
    ["inference", "gallery", "gate"],
    ["transfer", "export", "hub.sentences", "hub.module"],
    ["shrink.look"],
    ["shrink.apply"],
    ["training", "evaluation.embed"],
    ["studies", "stress", "search"],
    ["shrink", "serve"],
    ["app"],
    ["testing", "transfer.rank", "transfer.merge"],
    ["cli"],
    ["__main__"],
]
# of which it is only said what may not be imported: it names what is public, and imports it on use
TOP = "__init__"
PUBLIC = ("fusion", "fusion.buckets", "fusion.data.decode")
TORCH_FREE = [
    "errors",
    "component",
    "hookspecs",
    "builtin",
    "registry",
    "recipe",
    "options",
    "picks",
    "cli",
    "report",
]
HEAVY = (
    *("torch", "torchvision", "accelerate", "torchmetrics", "transformers", "timm", "open_clip", "datasets"),
    *("numpy", "PIL", "soxr", "soundfile", "sklearn", "pyarrow", "av", "pydantic", "rich", "yaml"),
)


class Import(NamedTuple):
    """An import of a module, by a module; `late` when it stands in a function."""

    by: str
    of: str
    late: bool


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[Import]:
    """Yield what a file imports, less what only a type checker reads."""

    def walk(node: ast.AST, late: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.orelse:
                yield from walk(child, late)
            return
        if isinstance(node, ast.Import):
            yield from (Import(module(path), alias.name, late) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            # `from fusion import build` imports the module fusion.build
            for alias in node.names:
                inner = ROOT.joinpath(*str(node.module).split("."), alias.name)
                whole = inner.is_dir() or inner.with_suffix(".py").is_file()
                yield Import(module(path), f"{node.module}.{alias.name}" if whole else str(node.module), late)
        inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    yield from walk(ast.parse(path.read_text("utf-8")), late=False)


ALL = [found for path in FILES for found in imports(path)]


def part(name: str) -> str:
    """Return the part of fusion that a module is in: "fusion.data.order" is in "data"."""
    _, _, rest = name.partition(".")
    return rest.partition(".")[0] or TOP


def layer(name: str) -> int:
    known = {listed: number for number, parts in enumerate(LAYERS) for listed in parts}
    return known.get(name.removeprefix("fusion."), known[part(name)])


def test_the_files_are_found() -> None:
    assert len(FILES) > 40
    assert len(ALL) > 200
    assert Import("fusion.cli.train", "fusion.training.loop", late=True) in ALL
    assert Import("fusion.training.steps", "fusion.build", late=False) in ALL
    assert not [found for found in ALL if found.by == "fusion.hookspecs" and found.of == "fusion.model"]


def test_every_part_has_a_layer() -> None:
    known = {name.partition(".")[0] for parts in LAYERS for name in parts}
    assert {part(module(path)) for path in FILES} == known | {TOP}


def test_imports_go_downwards_only() -> None:
    upwards = [
        found
        for found in ALL
        if part(found.by) != TOP
        and found.of.startswith("fusion.")
        and part(found.by) != part(found.of)
        and layer(found.of) >= layer(found.by)
    ]
    assert upwards == []


def test_no_import_leads_back_to_itself() -> None:
    graph: dict[str, set[str]] = {}
    for found in ALL:
        if found.of.startswith("fusion.") and found.by != "fusion":
            graph.setdefault(found.by, set()).add(found.of)
    assert len(list(TopologicalSorter(graph).static_order())) > 40  # raises CycleError


def test_the_core_imports_no_plugin() -> None:
    plugins = {path.name for path in (ROOT / "plugins").iterdir() if path.is_dir()}
    assert {"fusion_scratch", "fusion_digits"} <= plugins
    assert [found for found in ALL if found.of.partition(".")[0].startswith("fusion_")] == []


def test_plugins_use_only_public_names() -> None:
    files = sorted((ROOT / "plugins").rglob("*.py"))
    found = [item for path in files for item in imports(path) if item.of.partition(".")[0] == "fusion"]
    assert len(found) > 5
    assert [item for item in found if item.of not in PUBLIC] == []


@pytest.mark.parametrize("name", TORCH_FREE)
def test_what_the_command_line_needs_first_imports_no_torch(name: str) -> None:
    mine = [found for found in ALL if part(found.by) == name]
    assert mine or name in ("errors",)
    heavy = ("torch", "accelerate", "torchmetrics", "safetensors", "transformers", "matplotlib")
    assert [found for found in mine if found.of.partition(".")[0] in heavy and not found.late] == []


def test_importing_fusion_and_looking_for_plugins_loads_nothing_heavy() -> None:
    code = (
        "import sys, fusion\nfrom fusion import Registry\nregistry = Registry()\n"
        "assert not registry.faults and 'fusion_timm' in sys.modules\n"
        f"print(sorted({set(HEAVY)} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "[]\n"


@pytest.mark.parametrize("folder", ["fusion", "plugins"])
def test_no_file_is_longer_than_two_hundred_and_fifty_lines(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in files}
    assert len(lengths) > 5
    assert {name: length for name, length in lengths.items() if length > 250} == {}


def test_every_file_says_what_it_is_for() -> None:
    files = [*FILES, *(ROOT / "plugins").rglob("*.py")]
    silent = [str(path) for path in files if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert len(files) > 50
    assert silent == []


def test_every_public_name_is_there() -> None:
    import fusion

    assert len(fusion.__all__) > 20
    assert [name for name in fusion.__all__ if getattr(fusion, name, None) is None] == []
