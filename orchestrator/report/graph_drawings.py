"""Drawings of the graphs of described networks."""

from __future__ import annotations

import re

from markupsafe import Markup

from orchestrator.report.contents import ReportContents
from orchestrator.store.delta import DeltaLabelStore
from predictor.graph.drawing import to_svg
from predictor.graph.structure import Graph

_MAX_CHARACTERS = 120_000  # of one drawing
_MAX_TOTAL = 3_000_000  # of all drawings
_Identity = tuple[str, str]


def drawings_of(contents: ReportContents) -> dict[_Identity, tuple[Markup, str]]:
    """Return, for each described network, the drawing of one of its graphs, or an empty one and the reason."""
    graphs = _graphs(contents)
    drawings, total = dict[_Identity, tuple[Markup, str]](), 0
    for identity in contents.chosen:
        text = graphs.get(identity)
        if text is None:
            drawings[identity] = Markup(), "The store has no graph of this network."
            continue
        svg = _in_pixels(to_svg(Graph.from_json(text)))
        if len(svg) > _MAX_CHARACTERS or total + len(svg) > _MAX_TOTAL:
            drawings[identity] = Markup(), "The drawing is too large for this page: see `orchestrator graph --svg`."
            continue
        total += len(svg)
        drawings[identity] = Markup(svg), ""
    return drawings


def _in_pixels(svg: str) -> str:
    """Return a drawing that is as large as its coordinates, so that its text can be read."""
    return re.sub(r'viewBox="0 0 (\d+) (\d+)"', r'\g<0> width="\1" height="\2"', svg, count=1)


def _graphs(contents: ReportContents) -> dict[_Identity, str]:
    if not contents.chosen:
        return {}
    wanted = {architecture for _, architecture in contents.chosen}
    table = DeltaLabelStore(contents.store).graphs(architectures=wanted)
    rows = table.select(["space", "architecture", "task", "key", "graph"]).to_pylist()
    rows.sort(key=lambda row: (row["task"] == "latency", row["task"], row["key"]), reverse=True)
    return {(row["space"], row["architecture"]): row["graph"] for row in rows}
