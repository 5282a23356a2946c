"""Put the sections together to one HTML document that needs nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from orchestrator.number_text import human
from orchestrator.report.blocks import Column, SectionBody
from orchestrator.report.contents import ReportContents
from orchestrator.report.plotting import require_matplotlib
from orchestrator.report.section import Section
from orchestrator.report.sections import SECTIONS

FORMAT = 1  # of the data in the page
_MAX_LABELS = 10_000  # in the data
_LABEL_COLUMNS = (
    "key",
    "architecture",
    "genotype",
    "space",
    "task",
    "data",
    "recipe_name",
    "seed",
    "metric",
    "value",
    "flops",
    "params",
)


@dataclass(frozen=True, slots=True)
class Report:
    """The page, and for each section why it is empty, or an empty text."""

    html: str
    missing: Mapping[str, str]


def build_report(contents: ReportContents, sections: Sequence[Section] = SECTIONS) -> Report:
    """Return the page about what was read. Raises ConfigError if charts cannot be drawn."""
    require_matplotlib()
    bodies = [(section, section.build(contents)) for section in sections]
    data = {"format": FORMAT, "store": contents.store, "version": contents.version, "made": contents.made}
    data |= {"labels": _label_columns(contents), "label_count": len(contents.rows)}
    data["sections"] = {section.key: _section_data(body) for section, body in bodies}
    environment = Environment(
        loader=PackageLoader("orchestrator.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    anchors = {network.architecture: network.anchor for network in contents.chosen.values()}
    environment.filters["with_code"] = _with_code
    environment.globals["cell"] = lambda column, row: _cell(column, row, anchors)
    html = environment.get_template("page.html").render(contents=contents, bodies=bodies, data=_script_text(data))
    return Report(html, {section.key: body.missing for section, body in bodies})


def _section_data(body: SectionBody) -> dict[str, Any]:
    return {"missing": body.missing} if body.missing else dict(body.data)


def _label_columns(contents: ReportContents) -> dict[str, list[Any]]:
    """Return the labels by column, in the order of their keys; the first ones if there are too many for a page."""
    rows = sorted(contents.rows, key=lambda row: str(row["key"]))[:_MAX_LABELS]
    return {name: [row[name] for row in rows] for name in _LABEL_COLUMNS}


def _script_text(data: Mapping[str, Any]) -> Markup:
    """Return JSON that cannot end the script element around it, whatever the store holds. NaN becomes null."""
    text = json.dumps(_finite(data), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for character, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, escaped)
    return Markup(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _with_code(text: str) -> Markup:
    """Return a text whose commands, between backticks, are code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a name in it has a backtick
        return Markup.escape(text)
    pieces = [Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)]
    return Markup("").join(pieces)


def _cell(column: Column, row: Mapping[str, Any], anchors: Mapping[str, str]) -> Markup:
    """Return a cell's content: a number with its exact value, a link to a described network, or text."""
    value = row.get(column.key)
    text = human(column.key, value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Markup('<data value="{}">{}</data>').format(repr(value), text)
    if column.key == "architecture" and isinstance(value, str) and value in anchors:
        return Markup('<a href="#{}">{}</a>').format(anchors[value], text)
    return Markup.escape(text)
