"""Pages from Markdown files outside docs/, and links from and to them. On GitHub the same links are relative paths."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "overview.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "predictor/shipped/README.md": "shipped-predictor.md",
}
_SOURCES = {page: source for source, page in OUTSIDE.items()}
_LINK = re.compile(r"(\]\()([^()#\s:]+)((?:#[^()\s]*)?\))")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for each file outside docs/."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Return the text of a page with links to pages of the site instead of files of the repository."""
    return rewrite_links(markdown, page.file.src_uri)


def rewrite_links(markdown: str, page: str) -> str:
    """Return the text with links to pages of the site. page: path in the site. What is no page there is unchanged."""
    source = _SOURCES.get(page, f"docs/{page}")

    def rewrite(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        if target in OUTSIDE:
            place = OUTSIDE[target]
        elif source in OUTSIDE and target.startswith("docs/"):
            place = target.removeprefix("docs/")
        else:
            return match[0]
        return f"{match[1]}{posixpath.relpath(place, posixpath.dirname(page) or '.')}{match[3]}"

    return _LINK.sub(rewrite, markdown)
