"""A page for each notebook, with its outputs. The notebook itself is part of the site too, for download."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a Markdown page next to each notebook."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb") and file.abs_src_path:
            page = file.src_uri.removesuffix(".ipynb") + ".md"
            text = notebook_markdown(json.loads(Path(file.abs_src_path).read_text()))
            name = posixpath.basename(file.src_uri)
            title, rest = text.split("\n", 1)
            text = f"{title}\n\n[Download this page as a notebook]({name}){{: download }}\n{rest}"
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Return the text with links to the page of a notebook instead of the notebook, except for its download."""
    return re.sub(r"(\]\([^()\s:]+)\.ipynb\)(?!\{)", r"\1.md)", markdown)


def notebook_markdown(notebook: dict[str, Any]) -> str:
    """Return the cells as Markdown: code in fences, and below it the text that it printed."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        shell = source.startswith("!")
        language = "bash" if shell else "python"
        parts.append(f"```{language}\n{source.removeprefix('!')}\n```")
        printed = "".join("".join(output.get("text", [])) for output in cell["outputs"]).rstrip()
        if printed:
            parts.append(f"```text\n{printed}\n```")
    return "\n\n".join(parts) + "\n"
