"""Networks one by one: genotype, labels, drawing of the graph, pictures of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.report.blocks import Block, Column, NetworkCard, SectionBody, Table, Text
from orchestrator.report.comparable import LabelledNetwork
from orchestrator.report.contents import ReportContents
from orchestrator.report.graph_drawings import drawings_of
from orchestrator.report.prediction_pictures import MAX_PICTURES, PictureAllowance
from orchestrator.report.section import Section

_COLUMNS = (
    Column("task"),
    Column("data"),
    Column("fidelity"),
    Column("recipe"),
    Column("seed"),
    Column("metric"),
    Column("value"),
    Column("flops", "FLOPs"),
    Column("params", "parameters"),
)
_MAX_LABELS = 20  # of one network


def _build(contents: ReportContents) -> SectionBody:
    if not contents.chosen:
        return SectionBody(missing="No networks yet: label some with `orchestrator label --task seg`.")
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {identity: [] for identity in contents.chosen}
    for row in contents.rows:
        if (identity := (row["space"], row["architecture"])) in rows:
            rows[identity].append(row)
    drawings, allowance = drawings_of(contents), PictureAllowance(contents.images)
    blocks, data = list[Block](), list[dict[str, Any]]()
    for network in sorted(contents.chosen.values(), key=lambda network: network.identity):
        graph, note = drawings[network.identity]
        pictures = allowance.pictures_of(network, rows[network.identity])
        labels = _labels(network, rows[network.identity])
        blocks.append(
            NetworkCard(
                network.anchor, network.architecture, network.space, network.genotype, labels, graph, note, pictures
            )
        )
        shown = {"graph": bool(graph), "pictures": len(pictures)}
        data.append({"architecture": network.architecture, "space": network.space, **shown})
    all_networks = len({(row["space"], row["architecture"]) for row in contents.rows})
    text = f"The {len(data)} networks that the charts lead to, of {all_networks:,} in the store."
    if with_pictures := sum(entry["pictures"] > 0 for entry in data):
        text += f" Pictures of predictions: of {with_pictures} of them; a page has at most {MAX_PICTURES}."
    else:
        text += " No pictures of predictions: `orchestrator label --save-images 2` keeps some in the store."
    return SectionBody((Text(text), *blocks), {"networks": data})


def _labels(network: LabelledNetwork, rows: Sequence[Mapping[str, Any]]) -> Table:
    shown = [{**row, "recipe": row["recipe_name"]} for row in rows[:_MAX_LABELS]]
    total = len(rows) if len(rows) > len(shown) else None
    return Table(f"Labels of {network.architecture}", _COLUMNS, shown, total, "orchestrator labels --out labels.csv")


SECTION = Section("networks", "Networks", _build)
