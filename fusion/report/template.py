"""Templates of pages that need nothing beside themselves, and how such a page is written."""

import os
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from fusion.report.charts import spark
from fusion.report.files import Media


def template(name: str) -> Template:
    """Return a template of this folder; everything that is put into it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["spark"] = _spark
    return environment.get_template(name)


def write(path: Path, content: str) -> Path:
    """Replace the file in one step, so that a reader never sees half a page."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(content, encoding="utf-8", errors="backslashreplace")  # half a surrogate pair
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _spark(media: Media) -> Markup:
    channels = media.data if isinstance(media.data, list) else []
    return spark(channels, label=f"series of {len(channels)} channels")
