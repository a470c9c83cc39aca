"""Pages of the components, and of the kinds, made of their signatures and docstrings."""

import inspect

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from fusion import Registry, described, hookspecs
from fusion.registry import HOOKS, Offer

OURS = ("fusion", "fusion-bind")  # a page must not depend on what else is installed
GUIDE = {"encoder": "encoder-and-processor"}  # the sections of plugins.md that are not called as their kind


def on_config(config: MkDocsConfig) -> None:
    """Put the pages where the nav says `Components`."""
    offers = _ours()
    _components(config.nav)[1:] = [
        {_title(kind): [f"components/{kind}/index.md", *(_path(o) for o in offers if o.kind == kind)]}
        for kind in HOOKS
    ]


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Write the pages."""
    offers = _ours()
    pages = {"components/index.md": _index(offers)} | {_path(offer): _page(offer) for offer in offers}
    for kind in HOOKS:
        pages[f"components/{kind}/index.md"] = _kind(kind, [offer for offer in offers if offer.kind == kind])
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))


def _ours() -> list[Offer]:
    return [offer for offer in Registry() if offer.origin.distribution in OURS]


def _path(offer: Offer) -> str:
    return f"components/{offer.kind}/{offer.component.name}.md"


def _title(kind: str) -> str:
    return kind.capitalize() + "s"


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
        links = ", ".join(f"[{name}]({kind}/{name}.md)" for name in names)
        lines.append(f"| [{kind}]({kind}/index.md) | {links} |")
    return "\n".join(lines)


def _kind(kind: str, offers: list[Offer]) -> str:
    about = inspect.getdoc(getattr(hookspecs, HOOKS[kind])) or ""
    guide = f"../../plugins.md#{GUIDE.get(kind, kind)}"
    lines = [f"# {_title(kind)}\n", f"{about}\n", f"How to write one: [the plugin guide]({guide}).\n"]
    lines += ["| name | what it is |", "|---|---|"]
    for offer in offers:
        first = described.doc(offer.component).partition("\n\n")[0].replace("\n", " ")
        lines.append(f"| [{offer.component.name}]({offer.component.name}.md) | {_cell(first)} |")
    return "\n".join(lines)


def _page(offer: Offer) -> str:
    component = offer.component
    facts = {
        "kind": f"[{offer.kind}](index.md)",
        "modality": component.modality or "",
        "plugin": f"`{offer.origin.plugin}`",
        "lives in": f"`{described.module(component)}`",
        "needs": f"`pip install '{component.needs}'`" if component.needs else "",
        "after": ", ".join(described.papers(component)),
    }
    parts = [f"# {component.name}", described.doc(component)]
    parts.append(f"```{described.language(offer.kind)}\n{described.snippet(offer)}\n```")
    if rows := described.rows(component):
        lines = ["## Options\n", "| option | type | default | range |", "|---|---|---|---|"]
        for row in rows:
            default = "required" if row.required else f"`{row.default!r}`"
            lines.append(f"| `{row.name}` | `{row.type}` | {default} | {_cell(row.allowed)} |")
        parts.append("\n".join(lines))
    lines = [f"| {name} | {fact} |" for name, fact in facts.items() if fact]
    parts.append("\n".join(["## Where it is from\n", "| | |", "|---|---|", *lines]))
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
