"""Pages of the notebooks: their words, code and what it printed and drew when it was last run."""

import json
import re
from collections.abc import Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Write a page beside each notebook, which stays there to be downloaded."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        notebook = json.loads(file.content_string)
        name = file.src_uri.rpartition("/")[2]
        parts = [*_parts(notebook), f"[This page as a notebook]({name})"]
        files.append(
            File.generated(config, file.src_uri.replace(".ipynb", ".md"), content="\n\n".join(parts))
        )


def on_page_markdown(markdown: str, **_: object) -> str:
    """Let links to notebooks, which lead on wherever the page is read, lead to their pages here."""
    return re.sub(r"\]\((notebooks/\w+)\.ipynb\)", r"](\1.md)", markdown)


def _parts(notebook: dict) -> Iterator[str]:
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                picture = "".join(data["image/png"]).strip()
                yield f"![what the cell above draws](data:image/png;base64,{picture})"
            elif text := "".join(output.get("text", data.get("text/plain", ""))):
                yield f"```text\n{text.rstrip()}\n```"
