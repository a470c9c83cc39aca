"""Pages of the components, one for each kind, made of their signatures and docstrings."""

import inspect

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from fusion import Registry, hookspecs
from fusion.registry import HOOKS, Offer

OURS = ("fusion", "fusion-bind")  # a page must not depend on what else is installed
GUIDE = {"encoder": "encoder-and-processor"}  # the sections of plugins.md that are not called as their kind


def on_config(config: MkDocsConfig) -> None:
    """Put the pages where the nav says `Components`."""
    _components(config.nav)[1:] = [{kind.capitalize() + "s": f"components/{kind}.md"} for kind in HOOKS]


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Write the pages."""
    offers = [offer for offer in Registry() if offer.origin.distribution in OURS]
    pages = {"index": _index(offers)}
    for kind in HOOKS:
        pages[kind] = _kind(kind, [offer for offer in offers if offer.kind == kind])
    for name, content in pages.items():
        files.append(File.generated(config, f"components/{name}.md", content=content))


def _components(nav: list) -> list:
    for entry in nav:
        for title, inside in entry.items() if isinstance(entry, dict) else ():
            if title == "Components":
                return inside
            if isinstance(inside, list) and (found := _components(inside)):
                return found
    return []


def _index(offers: list[Offer]) -> str:
    lines = [
        "# Components\n",
        "What a recipe can pick, as `fusion plugins ls` lists it. `fusion plugins show NAME` prints it.\n",
        "| kind | components |\n|---|---|",
    ]
    for kind in HOOKS:
        names = [offer.component.name for offer in offers if offer.kind == kind]
        links = ", ".join(f"[{name}]({kind}.md#{name})" for name in names)
        lines.append(f"| [{kind}]({kind}.md) | {links} |")
    return "\n".join(lines)


def _kind(kind: str, offers: list[Offer]) -> str:
    about = inspect.getdoc(getattr(hookspecs, HOOKS[kind])) or ""
    guide = f"../plugins.md#{GUIDE.get(kind, kind)}"
    parts = [f"# {kind.capitalize()}s", about, f"How to write one: [the plugin guide]({guide})."]
    for offer in offers:
        component = offer.component
        parts.append(f"## {component.name}")
        if component.modality:
            parts.append(f"*{component.modality}, of the plugin `{offer.origin.plugin}`*")
        parts.append(inspect.getdoc(component.resolve()) or "")
        if options := component.options().values():
            parts.append("\n".join(f"- `{option}`{', required' * option.required}" for option in options))
    return "\n\n".join(parts)
