"""Code blocks of Markdown files and notebooks, with the marks that say who runs them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"(\s*)(```+)(\S*)\s*$")
_MARK = re.compile(r"<!-- (not run|run by): (.+?) -->")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of code.

    language: as written after the fence; empty for output. line: of its fence, from 1; in a notebook, number of its
    cell. not_run: why it cannot run. run_by: the test file that runs it.
    """

    path: Path
    line: int
    language: str
    text: str
    not_run: str = ""
    run_by: str = ""

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def code_blocks(path: Path) -> list[Block]:
    """Return the blocks of a file in their order. A mark is an HTML comment on the line before the fence."""
    if path.suffix == ".ipynb":
        return _cells(path)
    blocks, lines, number = [], path.read_text().split("\n"), 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened is None:
            number += 1
            continue
        end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == opened[2])
        marks = dict(_MARK.findall(lines[number - 1])) if number else {}
        text = "\n".join(line.removeprefix(opened[1]) for line in lines[number + 1 : end]) + "\n"
        blocks.append(Block(path, number + 1, opened[3], text, marks.get("not run", ""), marks.get("run by", "")))
        number = end + 1
    return blocks


def inline_code(path: Path) -> list[str]:
    """Return the code spans of a Markdown file or of the text of a notebook, without code blocks."""
    return _INLINE.findall(re.sub(r"(?ms)^\s*(```+).*?^\s*\1\s*$", "", _prose(path)))


def _prose(path: Path) -> str:
    if path.suffix != ".ipynb":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def _cells(path: Path) -> list[Block]:
    """Return the code cells of a notebook, which its own test runs."""
    blocks = []
    for number, cell in enumerate(json.loads(path.read_text())["cells"], 1):
        if cell["cell_type"] == "code":
            text = "".join(cell["source"])
            language = "bash" if text.startswith("!") else "python"
            run_by = "tests/docs/test_tutorials.py"
            blocks.append(Block(path, number, language, text.removeprefix("!") + "\n", run_by=run_by))
    return blocks
