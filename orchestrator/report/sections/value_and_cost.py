"""The value of networks against their FLOPs and latency, with the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from orchestrator.report.blocks import Block, Column, Figure, SectionBody, Table, Text
from orchestrator.report.comparable import ComparableLabels, LabelledNetwork, pareto_front
from orchestrator.report.contents import ReportContents
from orchestrator.report.plotting import SERIES, Axes, draw_chart, plain, use_amounts
from orchestrator.report.section import Section

MAX_POINTS = 500  # of one chart; more make the page slow to open
_MAX_ROWS = 100  # of one table
_MAX_INTERVALS = 150  # more would hide each other
_Costs = Mapping[str, float]
_COLUMNS = (
    Column("architecture"),
    Column("value"),
    Column("interval", "± (90 %)"),
    Column("seeds"),
    Column("flops", "FLOPs"),
    Column("params", "parameters"),
    Column("front", "on the front"),
)


def _build(contents: ReportContents) -> SectionBody:
    if not contents.charted:
        return SectionBody(missing="No labels yet: make some with `orchestrator label --task seg --num 32`.")
    blocks, data = list[Block](), list[dict[str, Any]]()
    blocks.append(Text(_EXPLANATION))
    for group in contents.charted:
        costs = {"flops": {network.architecture: network.flops for network in group.networks}}
        costs |= contents.latencies(group)
        for cost, by_network in costs.items():
            blocks.append(_figure(contents, group, cost, by_network))
        ranks = {cost: group.rank_correlation_with(cost) for cost in ("flops", "params")}
        fronts = {cost: [n.architecture for n in pareto_front(group.networks, by)] for cost, by in costs.items()}
        data.append({"group": group.name, "networks": len(group.networks), "spearman": ranks, "fronts": fronts})
    left_out = sum(not group.are_costs for group in contents.groups) - len(contents.charted)
    if left_out:
        blocks.append(Text(f"Groups of labels without a chart here: {left_out}; the table of labels lists them."))
    if not any(len(entry["fronts"]) > 1 for entry in data):
        blocks.append(Text("No latency of these networks was measured: `orchestrator label --latency cpu` does it."))
    return SectionBody(blocks, {"groups": data})


_EXPLANATION = (
    "A network is on the front if no other one is at least as cheap and better. Bars are 90 % intervals of the mean "
    "over seeds, from the deviation between seeds of all networks of the group; groups of one seed have none. "
    "Ringed points lead to the network's description."
)


def _figure(contents: ReportContents, group: ComparableLabels, cost: str, costs: _Costs) -> Figure:
    front = pareto_front(group.networks, costs)
    linked = [n for n in group.networks if n.identity in contents.chosen and n.architecture in costs]
    shown = _sample(group, costs)
    known = sum(network.architecture in costs for network in group.networks)
    what = "FLOPs" if cost == "flops" else f"latency on {cost}"
    description = f"Scatter plot of {group.metric} against {what} of {known} networks. On the front: {len(front)}."
    if len(shown) < known:
        description += f" A random {len(shown)} of the {known} networks are drawn, and the whole front."
    rank = group.rank_correlation_with("flops") if cost == "flops" else None
    if rank is not None:
        description += f" Rank correlation with FLOPs: {rank:.3f}."
    links = {f"#{n.anchor}": f"Network {n.architecture}: {group.metric} {n.value:.3f}" for n in linked}

    def draw(axes: Axes) -> None:
        _draw_points(axes, group, costs, shown, front)
        _draw_links(axes, linked, costs)
        axes.set_xlabel("FLOPs of one image" if cost == "flops" else "latency of one batch, milliseconds")
        axes.set_ylabel(plain(_value_label(group)))

    svg = draw_chart(draw, description, links)
    return Figure(f"{group.title}: value and {what}", svg, description, (_table(group, cost, costs, front),))


def _value_label(group: ComparableLabels) -> str:
    if group.fidelity == "proxy":
        return f"{group.metric} (score)"
    return f"{group.metric} (higher is better)" if group.fidelity == "published" else f"{group.metric}, 0 to 1"


def _sample(group: ComparableLabels, costs: _Costs) -> list[LabelledNetwork]:
    known = [network for network in group.networks if network.architecture in costs]
    if len(known) <= MAX_POINTS:
        return known
    places = np.random.default_rng(0).choice(len(known), MAX_POINTS, replace=False)
    return [known[place] for place in sorted(places)]


def _draw_points(
    axes: Axes,
    group: ComparableLabels,
    costs: _Costs,
    shown: Sequence[LabelledNetwork],
    front: Sequence[LabelledNetwork],
) -> None:
    with_bars = shown if len(shown) <= _MAX_INTERVALS else front
    if group.seed_deviation is not None:
        axes.errorbar(
            [costs[n.architecture] for n in with_bars],
            [n.value for n in with_bars],
            yerr=[group.half_width(n) or 0.0 for n in with_bars],
            fmt="none",
            ecolor=SERIES[0],
            elinewidth=0.7,
            alpha=0.5,
            label="90 % interval",
        )
    points = [costs[n.architecture] for n in shown], [n.value for n in shown]
    axes.scatter(*points, s=9, color=SERIES[0], alpha=0.6, linewidths=0, label="network")
    steps = [costs[n.architecture] for n in front], [n.value for n in front]
    axes.step(*steps, where="post", color=SERIES[1], label="front")
    use_amounts(axes, [costs[n.architecture] for n in [*shown, *front]])


def _draw_links(axes: Axes, linked: Sequence[LabelledNetwork], costs: _Costs) -> None:
    if linked:
        places = [costs[n.architecture] for n in linked], [n.value for n in linked]
        # The transparent filling makes the whole circle clickable.
        rings = axes.scatter(
            *places, s=34, facecolors=[(0, 0, 0, 0.001)], edgecolors=SERIES[1], linewidths=0.9, label="described below"
        )
        rings.set_urls([f"#{network.anchor}" for network in linked])


def _table(group: ComparableLabels, cost: str, costs: _Costs, front: Sequence[LabelledNetwork]) -> Table:
    on_front = {network.architecture for network in front}
    known = [network for network in group.networks if network.architecture in costs]
    known.sort(key=lambda network: network.architecture not in on_front)  # the front first, each part best first
    rows = [
        {
            "architecture": network.architecture,
            "anchor": network.anchor,
            "value": network.value,
            "interval": group.half_width(network),
            "seeds": network.seeds,
            "flops": network.flops,
            "params": network.params,
            "front": network.architecture in on_front,
            "latency": costs[network.architecture],
        }
        for network in known[:_MAX_ROWS]
    ]
    columns = _COLUMNS if cost == "flops" else (*_COLUMNS, Column("latency", "latency, ms"))
    total = len(known) if len(known) > len(rows) else None
    what = "FLOPs" if cost == "flops" else f"latency on {cost}"
    return Table(
        f"{group.title}: networks, value and {what}", columns, rows, total, "orchestrator labels --out labels.csv"
    )


SECTION = Section("value-and-cost", "Value and cost", _build)
