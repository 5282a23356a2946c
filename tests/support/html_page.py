"""What a test sees of a report: its tables with exact values, its elements, its data."""

from __future__ import annotations

import json
from collections import Counter
from html.parser import HTMLParser
from typing import Any

_VOID = {"meta", "img", "br", "hr", "link", "input"}


class HtmlPage(HTMLParser):
    """A parsed page.

    tables: by caption, one mapping of column to value per row; numbers are those of `data` elements. tags: how often
    each element occurs. attributes: (tag, name, value) of all elements. ids: of all elements. data: the JSON block.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.text = ""
        self.data: Any = None
        self._open: list[str] = []
        self._caption, self._header, self._row = "", list[str](), list[Any]()
        self._cell, self._exact = "", None
        self._script = ""
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags[tag] += 1
        values = {name: value or "" for name, value in attrs}
        self.attributes += [(tag, name, value) for name, value in values.items()]
        if "id" in values:
            self.ids.append(values["id"])
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "table":
            self._caption, self._header = "", []
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th", "caption"):
            self._cell, self._exact = "", None
        elif tag == "data":
            self._exact = json.loads(values["value"].replace("nan", "NaN").replace("inf", "Infinity"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        """End an element, which must be the innermost one."""
        assert self._open[-1] == tag, f"</{tag}> inside of {self._open}"
        self._open.pop()
        if tag == "caption":
            self._caption = self._cell.strip()
            assert self._caption not in self.tables, f"two tables are called {self._caption}"
            self.tables[self._caption] = []
        elif tag == "th":
            self._header.append(self._cell.strip())
        elif tag == "td":
            self._row.append(self._cell.strip() if self._exact is None else self._exact)
        elif tag == "tr" and self._row:
            self.tables[self._caption].append(dict(zip(self._header, self._row, strict=True)))
        elif tag == "script":
            self.data = json.loads(self._script)

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if self._open and self._open[-1] == "script":
            self._script += data
            return
        self._cell += data
        if "style" not in self._open:
            self.text += data
