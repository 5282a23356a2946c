"""What a section is made of: texts, commands, tables, figures, findings and descriptions of networks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from markupsafe import Markup

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. key: of a row's value; `number_text.human` formats it. title: its key if empty."""

    key: str
    title: str = ""

    @property
    def header(self) -> str:
        """Its title, or its key without underscores."""
        return self.title or self.key.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """Command lines to copy. title: what they do. details: a longer text to unfold, such as a recipe."""

    kind: ClassVar[str] = "command"
    title: str
    text: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a caption. total: number of rows in all, if some are left out. rest: where these are."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[Column, ...]
    rows: Sequence[Row]
    total: int | None = None
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its numbers as tables to unfold. description: what a reader who cannot see it should know."""

    kind: ClassVar[str] = "figure"
    title: str
    svg: Markup
    description: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check. state: good, warning, or unknown if there are not enough data. advice: empty if good."""

    kind: ClassVar[str] = "finding"
    state: str
    check: str
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file in the page. jpeg: base64. width, height: in pixels. alternative: its text."""

    jpeg: str
    width: int
    height: int
    alternative: str


@dataclass(frozen=True, slots=True)
class NetworkCard:
    """One network. anchor: what links name. genotype: JSON. graph: its drawing; empty if there is none."""

    kind: ClassVar[str] = "network"
    anchor: str
    architecture: str
    space: str
    genotype: str
    labels: Table
    graph: Markup
    graph_note: str = ""
    pictures: tuple[Picture, ...] = ()


Block = Text | Command | Table | Figure | Finding | NetworkCard


@dataclass(frozen=True, slots=True)
class SectionBody:
    """The content of a section. data: its numbers, for programs. missing: one line if there is nothing to show."""

    blocks: Sequence[Block] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""

    @property
    def runs(self) -> list[tuple[str, list[Block]]]:
        """The blocks in their order, with neighbours of one kind together: figures share a grid."""
        return [(kind, list(same)) for kind, same in itertools.groupby(self.blocks, key=lambda block: block.kind)]
