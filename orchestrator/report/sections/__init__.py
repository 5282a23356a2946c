"""The sections of the page, in their order. A new one is a module here and a line in `SECTIONS`."""

from __future__ import annotations

from orchestrator.report.section import Section
from orchestrator.report.sections import (
    asked,
    attention,
    audits,
    failures,
    generations,
    health,
    labels,
    networks,
    noise,
    predictions,
    searches,
    spent,
    value_and_cost,
)

SECTIONS: tuple[Section, ...] = (
    asked.SECTION,
    health.SECTION,
    labels.SECTION,
    value_and_cost.SECTION,
    noise.SECTION,
    audits.SECTION,
    searches.SECTION,
    generations.SECTION,
    predictions.SECTION,
    attention.SECTION,
    spent.SECTION,
    failures.SECTION,
    networks.SECTION,
)
