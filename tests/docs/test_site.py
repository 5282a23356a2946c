"""The documentation site: every link and anchor exists, and a page loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("material", reason="the extra docs is not installed")

from docs.hooks.command_pages import commands_markdown
from docs.hooks.github_markdown import on_page_markdown
from docs.hooks.notebook_pages import notebook_markdown
from docs.hooks.outside_pages import rewrite_links
from orchestrator.campaign.config import CampaignConfig
from tests.support.command_lines import PROGRAM

ROOT = Path(__file__).parents[2]
_LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "object": "data"}


class _Loaded(HTMLParser):
    """Addresses that a browser loads with a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        relations = set((values.get("rel") or "").split())
        if tag in _LOADING and not relations & {"canonical", "prev", "next"}:
            self.found.append(values.get(_LOADING[tag]) or "")
        self.found += re.findall(r"url\(\s*['\"]?([^'\")]+)", values.get("style") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 70
    loaded = {address for page in pages for address in _Loaded(page.read_text()).found}
    for style in site.rglob("*.css"):
        loaded |= set(re.findall(r"(?:url\(|@import)\s*['\"]?([^'\")\s]+)", style.read_text()))
    assert loaded
    outside = sorted(address for address in loaded if re.match(r"(https?:)?//", address))
    assert outside == []


def test_the_picture_of_the_architecture_loads_nothing(site: Path) -> None:
    picture = (site / "pictures" / "architecture.svg").read_text()
    assert re.findall(r"(?:href|src)=\"(?!#)|@import|url\((?!#)", picture) == []


def test_all_commands_and_options_have_a_description() -> None:
    text = commands_markdown().replace("\\", "")
    for name in PROGRAM.commands:
        assert f"\n## {name}\n" in text
    for field in CampaignConfig.model_fields.values():
        assert (field.description or "nothing") in text
    assert "### generations rollback" in text
    assert not re.search(r"\| *\|$", text, re.MULTILINE), "an option without a description"


def test_links_to_files_outside_the_folder_become_links_to_pages() -> None:
    assert rewrite_links("[a](../CONTRIBUTING.md)", "architecture.md") == "[a](contributing.md)"
    assert (
        rewrite_links("[a](../../predictor/shipped/README.md#b)", "howto/predict.md")
        == "[a](../shipped-predictor.md#b)"
    )
    assert rewrite_links("[a](docs/howto/predict.md)", "overview.md") == "[a](howto/predict.md)"
    assert rewrite_links("[a](../../docs/results.md)", "shipped-predictor.md") == "[a](results.md)"
    assert rewrite_links("[a](https://b.org/CONTRIBUTING.md)", "x.md") == "[a](https://b.org/CONTRIBUTING.md)"
    assert rewrite_links("[a](search.md)", "howto/predict.md") == "[a](search.md)"


def test_lists_and_pipes_are_read_as_on_github() -> None:
    assert on_page_markdown("all of:\n- a\n  b\n- c") == "all of:\n\n- a\n  b\n- c"
    assert on_page_markdown("```bash\nls\n- a\n```\n") == "```bash\nls\n- a\n```\n"
    assert on_page_markdown("| `a\\|b` | c |") == "| `a|b` | c |"


def test_notebooks_become_pages() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": ["!ls"], "outputs": [{"text": ["file\n"]}]},
        {"cell_type": "code", "source": ["x = 1"], "outputs": []},
    ]
    page = "# Title\ntext\n\n```bash\nls\n```\n\n```text\nfile\n```\n\n```python\nx = 1\n```\n"
    assert notebook_markdown({"cells": cells}) == page
