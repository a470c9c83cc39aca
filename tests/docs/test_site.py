"""The site is built without a warning, holds every page and component, and needs no network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fusion import Registry, described
from fusion.cli import cli
from fusion.registry import HOOKS

ROOT = Path(__file__).parents[2]


def build(root: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        [*command, "--config-file", str(root / "mkdocs.yml")],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    notebooks = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.ipynb")]
    assert (len(pages) > 10, len(notebooks)) == (True, 2)
    for page in (*pages, *notebooks):
        assert (site / page.with_suffix(".html")).is_file(), page
    assert not list(site.rglob("*.py"))


def test_every_component_has_its_options_and_every_command_its_help(site: Path, registry: Registry) -> None:
    offers = [offer for offer in registry if offer.origin.distribution in ("fusion", "fusion-bind")]
    assert {offer.kind for offer in offers} == set(HOOKS)
    for offer in offers:
        page = (site / f"components/{offer.kind}/{offer.component.name}.html").read_text("utf-8")
        assert described.doc(offer.component).strip(), offer
        assert [
            name for name in offer.component.options() if f"<td><code>{name}</code></td>" not in page
        ] == []
        index = (site / f"components/{offer.kind}/index.html").read_text("utf-8")
        assert f'<td><a href="{offer.component.name}.html">' in index, offer
    commands = (site / "commands.html").read_text("utf-8")
    assert [name for name in cli.commands if f">fusion {name}<" not in commands] == []


def test_notebooks_show_what_they_print_and_draw(site: Path) -> None:
    for name in ("bind", "fuse"):
        page = (site / f"notebooks/{name}.html").read_text("utf-8")
        assert page.count('src="data:image/png;base64,') == 2
        assert f'href="{name}.ipynb"' in page
        assert "True" in page


def test_links_to_notebooks_lead_to_their_pages(site: Path) -> None:
    assert 'href="notebooks/bind.html"' in (site / "bind.html").read_text("utf-8")
    assert 'href="notebooks/fuse.html"' in (site / "start.html").read_text("utf-8")


def test_no_page_reads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 130
    for page in pages:
        text = page.read_text("utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="([^"]+)"', text)
        loaded += re.findall(r'<link\b[^>]*rel="(?:stylesheet|preload|icon)"[^>]*href="([^"]+)"', text)
        loaded += re.findall(r'<link\b[^>]*href="([^"]+)"[^>]*rel="(?:stylesheet|preload|icon)"', text)
        assert loaded
        assert [place for place in loaded if re.match(r"(https?:)?//", place)] == [], page


@pytest.mark.parametrize(
    ("text", "warning"),
    {
        "[away](nowhere.md)": "'nowhere.md'",
        "[away](guide.md#nowhere)": "does not contain an anchor '#nowhere'",
    }.items(),
)
def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path, text: str, warning: str) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("hooks"))
    config = (ROOT / "mkdocs.yml").read_text("utf-8")
    plain = re.sub(r"^hooks:\n(  - .*\n)+", "", config, flags=re.M)  # the pages that hooks make are slow
    plain = re.sub(r"^.*(commands\.md|components/index\.md|notebooks/\w+\.md).*\n", "", plain, flags=re.M)
    (tmp_path / "mkdocs.yml").write_text(plain, "utf-8")
    with (tmp_path / "docs/metrics.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{text}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert warning in done.stderr
