"""Read Markdown as GitHub does, where Python-Markdown differs: lists without a blank line, and pipes in tables.

Marks for the tests of code blocks, `<!-- run by: FILE -->` and `<!-- not run: REASON -->`, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_ITEM = re.compile(r"([-*+]|1[.)]) \S")
_MARK = re.compile(r"\s*<!-- (not run|run by): .* -->$")
_CODE_WITH_PIPES = re.compile(r"`[^`]*\\\|[^`]*`")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the text of a page for Python-Markdown."""
    return "\n".join(_lines(markdown))


def _lines(markdown: str) -> Iterator[str]:
    fence, before = "", ""
    for line in markdown.split("\n"):
        opened = re.match(r"\s*(```+|~~~+)", line)
        if opened and (not fence or line.strip() == fence):
            fence = "" if fence else opened[1]
        elif not fence:
            if _MARK.match(line):
                continue
            if _ITEM.match(line) and before.strip() and not _in_list(before):
                yield ""
            if line.startswith("|"):  # a pipe in code of a table is escaped on GitHub only
                line = _CODE_WITH_PIPES.sub(lambda code: code[0].replace("\\|", "|"), line)
        yield line
        before = line


def _in_list(line: str) -> bool:
    """Whether a line is an item of a list, or continues one: then the next item needs no blank line."""
    return bool(_ITEM.match(line)) or re.match(r"\d+[.)] ", line) is not None or line.startswith((" ", "#"))
