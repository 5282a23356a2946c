"""Commands of the bash blocks in the documentation, in their order."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.support.command_lines import commands
from tests.support.markdown_blocks import ROOT, code_blocks

PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs/howto").glob("*.md")),
    *sorted((ROOT / "docs/howto/full-size").glob("*.md")),
    *sorted((ROOT / "docs/examples").glob("*.md")),
)


@dataclass(frozen=True, slots=True)
class PageCommand:
    """One command. page: its file, from the root. line: of its block. words: `$(cat FILE)` is the word `@FILE`."""

    page: str
    line: int
    words: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        """Whether it calls `orchestrator` itself, not through Ray."""
        return self.words[0].rsplit("/", 1)[-1] == "orchestrator"

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"


def page_commands(path: Path) -> list[PageCommand]:
    """Return the commands of all bash blocks of a page, except of blocks that are marked as not run."""
    found = []
    for block in code_blocks(path):
        if block.language == "bash" and not block.not_run:
            script = re.sub(r"\$\(cat ([^()\s]+)\)", r"@\1", block.text)
            page = str(path.relative_to(ROOT))
            found += [PageCommand(page, block.line, tuple(words)) for words in commands(script)]
    return found
