"""Nothing that fusion ships can run what a file says: no call that unpickles, evaluates or starts a shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("fusion", "plugins", "recipes") for path in (ROOT / folder).rglob("*.py"))

PICKLES = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle")
FORBIDDEN = {
    *(f"{module}.{name}" for module in PICKLES for name in ("load", "loads", "open", "Unpickler", "decode")),
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen"),
    *("tempfile.mktemp", "shutil.unpack_archive"),
    *("runpy.run_path", "runpy.run_module", "code.interact", "pandas.read_pickle", "torch.hub.load"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load"),
    *(
        "importlib.util.spec_from_file_location",
        "xml.etree.ElementTree.parse",
        "xml.etree.ElementTree.fromstring",
    ),
}
REMOTE = "get_class_from_dynamic_module"
METHODS = ("extractall", "read_pickle", REMOTE)  # of whatever object
NEEDED = {  # calls that are safe with this argument only
    "torch.load": ("weights_only", True),
    "numpy.load": ("allow_pickle", False),
    "timm.models.load_state_dict": ("weights_only", True),
    "open_clip.load_checkpoint": ("weights_only", True),
}
ALLOWED = {
    ("fusion/data/windows.py", "pickle.loads"): "what this process's own loader workers have sent",
    ("fusion/testing/sources.py", "pickle.loads"): "a check that what it has pickled itself comes back",
    ("fusion/testing/encoders.py", "pickle.loads"): "the same",
    ("fusion/testing/augmentations.py", "pickle.loads"): "the same",
    ("fusion/testing/corruptions.py", "pickle.loads"): "the same",
    (
        "fusion/recipe/file.py",
        "runpy.run_path",
    ): "a recipe in .py, which the user names",
    ("recipes/distill_digits.py", "runpy.run_path"): "the recipe beside it",
    ("fusion/component.py", "importlib.import_module"): "what an installed plugin says of its component",
    ("fusion/__init__.py", "importlib.import_module"): "the modules of fusion's own public names",
    (
        "plugins/fusion_transformers/remote.py",
        "get_class_from_dynamic_module",
    ): "a commit that a recipe names",
}
"""File and call, and why it runs nothing that the user has not named."""


def names(tree: ast.AST) -> dict[str, str]:
    """Return what names of modules and of their parts stand for, whatever they were imported as."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Yield the unsafe calls in a file, as the full name of what is called."""
    known = names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).partition(".")
            name = known.get(first, first) + dot + rest
            if _is_unsafe(name, node):
                yield REMOTE if name.endswith(REMOTE) else name


def _is_unsafe(name: str, call: ast.Call) -> bool:
    words = {word.arg: word.value for word in call.keywords}
    if name == "importlib.import_module":
        return not isinstance(call.args[0], ast.Constant)  # from data
    if name in NEEDED:
        word, value = NEEDED[name]
        return not _is(words.get(word), value)
    if name.startswith("subprocess."):
        return "shell" in words and not _is(words["shell"], False)
    if name.startswith(("requests.", "httpx.", "urllib.request.urlopen")):
        return "timeout" not in words
    return name in FORBIDDEN or name.rpartition(".")[2] in METHODS


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_what_is_shipped_has_no_unsafe_call() -> None:
    assert len(FILES) > 200
    found = {
        (path.relative_to(ROOT).as_posix(), call)
        for path in FILES
        for call in unsafe(ast.parse(path.read_text("utf-8")))
    }
    assert found - ALLOWED.keys() == set()
    assert ALLOWED.keys() - found == set(), "allowed, but not there any more"


@pytest.mark.parametrize(
    ("line", "call"),
    {
        "import pickle; pickle.load(f)": "pickle.load",
        "import pickle as p; p.loads(f)": "pickle.loads",
        "from pickle import loads as read; read(f)": "pickle.loads",
        "import pickle; pickle.Unpickler(f).load()": "pickle.Unpickler",
        "import dill; dill.load(f)": "dill.load",
        "import cloudpickle; cloudpickle.loads(f)": "cloudpickle.loads",
        "import torch; torch.load(f)": "torch.load",
        "import torch; torch.load(f, weights_only=False)": "torch.load",
        "import torch; torch.load(f, weights_only=trusted)": "torch.load",
        "from torch import load; load(f)": "torch.load",
        "import numpy as np; np.load(f)": "numpy.load",
        "import numpy as np; np.load(f, allow_pickle=True)": "numpy.load",
        "import yaml; yaml.load(f, Loader=yaml.Loader)": "yaml.load",
        "import yaml; yaml.unsafe_load(f)": "yaml.unsafe_load",
        "eval(f)": "eval",
        "exec(f)": "exec",
        "compile(f, '', 'exec')": "compile",
        "import subprocess; subprocess.run(f, shell=True)": "subprocess.run",
        "from subprocess import Popen; Popen(f, shell=yes)": "subprocess.Popen",
        "import os; os.system(f)": "os.system",
        "from os import system; system(f)": "os.system",
        "import tempfile; tempfile.mktemp()": "tempfile.mktemp",
        "import zipfile; zipfile.ZipFile(f).extractall()": "zipfile.ZipFile(f).extractall",
        "archive.extractall(path)": "archive.extractall",
        "import joblib; joblib.load(f)": "joblib.load",
        "import marshal; marshal.loads(f)": "marshal.loads",
        "import shelve; shelve.open(f)": "shelve.open",
        "import importlib; importlib.import_module(f)": "importlib.import_module",
        "from importlib import import_module; import_module(f)": "importlib.import_module",
        "import requests; requests.get(f)": "requests.get",
        "from urllib.request import urlopen; urlopen(f)": "urllib.request.urlopen",
        "import runpy; runpy.run_path(f)": "runpy.run_path",
        "import pandas as pd; pd.read_pickle(f)": "pandas.read_pickle",
        "import timm; timm.models.load_state_dict(f)": "timm.models.load_state_dict",
        "import open_clip; open_clip.load_checkpoint(m, f)": "open_clip.load_checkpoint",
    }.items(),
)
def test_each_planted_call_is_found(line: str, call: str) -> None:
    assert list(unsafe(ast.parse(line))) == [call]


@pytest.mark.parametrize(
    "line",
    [
        "import torch; torch.load(f, weights_only=True)",
        "import numpy as np; np.load(f, mmap_mode='r', allow_pickle=False)",
        "import yaml; yaml.safe_load(f)",
        "import re; re.compile(f)",
        "import json; json.load(f)",
        "model.eval(); registry.load(f)",
        "import subprocess; subprocess.run([f], shell=False)",
        "import importlib; importlib.import_module('fusion.run')",
        "import requests; requests.get(f, timeout=3)",
    ],
)
def test_what_is_safe_is_left_alone(line: str) -> None:
    assert list(unsafe(ast.parse(line))) == []
