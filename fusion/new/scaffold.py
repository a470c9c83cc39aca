"""Write a folder from its templates."""

import keyword
from importlib.util import find_spec
from pathlib import Path
from string import Template

from fusion.component import KEBAB
from fusion.errors import PluginError, RunError
from fusion.new.rows import write_rows
from fusion.registry import Registry

TEMPLATES = Path(__file__).parent


def new_project(folder: Path) -> list[Path]:
    """Write a project: a recipe, rows of data, a fuser of one's own and its tests. Return its files.

    The folder's name becomes that of the package with the fuser. Raises RunError when the folder is not
    empty, and PluginError when its name is none for a package.
    """
    name = folder.resolve().name.lower().replace("-", "_")
    _check(name, "call the folder something like 'my-birds'")
    if keyword.iskeyword(name) or _importable(name):
        raise PluginError(f"{name!r} is already a name of Python or of a module; call the folder otherwise")
    written = _write("project", folder, name, name)
    return [*written, *write_rows(folder / "data")]


def new_plugin(modality: str, folder: Path, registry: Registry) -> list[Path]:
    """Write a distribution with an encoder for a modality, a source, a recipe and tests. Return its files.

    Raises RunError when the folder is not empty, and PluginError when the modality's name is none, or that of
    a plugin which is installed.
    """
    _check(modality, "use a name like 'depth' or 'heart_rate'")
    if modality in registry.origins:
        raise PluginError(f"{registry.origins[modality]} is installed already; use another name")
    package = f"fusion_{modality}"
    if _importable(package):
        raise PluginError(f"there is a module {package} already; use another name")
    return _write("plugin", folder, modality, package)


def _check(name: str, remedy: str) -> None:
    if not KEBAB.fullmatch(name.replace("_", "-")):
        raise PluginError(f"{name!r} is not made of lower-case words joined by '-' or '_'; {remedy}")


def _importable(module: str) -> bool:
    spec = find_spec(module)
    return spec is not None and spec.origin is not None  # a folder without code has no origin


def _write(kind: str, folder: Path, name: str, package: str) -> list[Path]:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} exists and is not an empty folder; name another one")
    words = {
        "name": name,
        "package": package,
        "kebab": name.replace("_", "-"),
        "camel": "".join(word.capitalize() for word in name.split("_")),
    }
    written = []
    for template in sorted((TEMPLATES / kind).rglob("*.tpl")):
        place = template.relative_to(TEMPLATES / kind).with_suffix("")
        path = folder.joinpath(*(part.replace("package", package) for part in place.parts))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(template.read_text("utf-8")).substitute(words), "utf-8")
        written.append(path)
    return written
