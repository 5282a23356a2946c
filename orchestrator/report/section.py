"""One section of the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.report.blocks import SectionBody
from orchestrator.report.contents import ReportContents


@dataclass(frozen=True, slots=True)
class Section:
    """key: its anchor, and its name in the page's data. build: makes it from what was read."""

    key: str
    title: str
    build: Callable[[ReportContents], SectionBody]
