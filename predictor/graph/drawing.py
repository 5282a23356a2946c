"""A graph as a picture: SVG, laid out in layers from the image at the top to the outputs at the bottom."""

from __future__ import annotations

from collections import defaultdict
from html import escape

from predictor.graph.structure import Graph, Node

_WIDTH, _HEIGHT = 150, 30
_ACROSS, _DOWN = 20, 26  # gaps between boxes
_PASSES = 4
_COLOURS = {
    "conv": "#cfe3f7",
    "depthwise_conv": "#bcd5f0",
    "transposed_conv": "#bcd5f0",
    "linear": "#d8d0f0",
    "matmul": "#d8d0f0",
    "input": "#dddddd",
    "output": "#dddddd",
    "add": "#f7e3c0",
    "concat": "#f7e3c0",
}
_PLAIN = "#f4f4f4"


def to_svg(graph: Graph) -> str:
    """An SVG document: a box for every node with its operation, output size and settings, a line for every edge."""
    places = _places(graph)
    width = max(x for x, _ in places) + _WIDTH + _ACROSS
    height = max(y for _, y in places) + _HEIGHT + _DOWN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="sans-serif" font-size="10" text-anchor="middle">'
    ]
    for source, target in graph.edges:
        (x0, y0), (x1, y1) = places[source], places[target]
        start, end = (x0 + _WIDTH / 2, y0 + _HEIGHT), (x1 + _WIDTH / 2, y1)
        middle = (start[1] + end[1]) / 2
        path = f"M{start[0]:.0f},{start[1]} C{start[0]:.0f},{middle} {end[0]:.0f},{middle} {end[0]:.0f},{end[1]}"
        parts.append(f'<path d="{path}" fill="none" stroke="#888"/>')
    parts += [_box(node, place) for node, place in zip(graph.nodes, places, strict=True)]
    return "\n".join([*parts, "</svg>\n"])


def _box(node: Node, place: tuple[float, float]) -> str:
    x, y = place
    fill = _COLOURS.get(node.op, _PLAIN)
    title = escape(node.op + _settings(node))
    sizes = f"{node.channels_out} x {node.positions_out}"
    return (
        f'<rect x="{x:.0f}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="4" fill="{fill}" stroke="#555"/>'
        f'<text x="{x + _WIDTH / 2:.0f}" y="{y + 13}">{title}</text>'
        f'<text x="{x + _WIDTH / 2:.0f}" y="{y + 25}" fill="#666">{sizes}</text>'
    )


def _settings(node: Node) -> str:
    if node.kernel == (1, 1) and node.stride == (1, 1):
        return ""
    stride = f" / {node.stride[0]}" if node.stride != (1, 1) else ""
    return f" {node.kernel[0]}x{node.kernel[1]}{stride}"


def _places(graph: Graph) -> list[tuple[float, float]]:
    """Left and top of every box. A layer is the longest way from the image; in it, nodes stay near what they read."""
    layer = [0] * len(graph.nodes)
    for source, target in graph.edges:  # ordered by target, so sources are final
        layer[target] = max(layer[target], layer[source] + 1)
    rows: dict[int, list[int]] = defaultdict(list)
    for number, depth in enumerate(layer):
        rows[depth].append(number)
    column = {number: float(i) for row in rows.values() for i, number in enumerate(row)}
    readers: dict[int, list[int]] = defaultdict(list)
    for source, target in graph.edges:
        readers[source].append(target)
    for turn in range(_PASSES):
        for depth in sorted(rows, reverse=turn % 2 == 1):
            near = {n: (readers[n] if turn % 2 else list(graph.nodes[n].inputs)) or [n] for n in rows[depth]}
            means = {n: sum(column[m] for m in near[n]) / len(near[n]) for n in rows[depth]}
            for place, number in enumerate(sorted(rows[depth], key=lambda n: (means[n], n))):
                column[number] = place - (len(rows[depth]) - 1) / 2
    left = min(column.values())
    across = _WIDTH + _ACROSS
    return [((column[n] - left) * across + _ACROSS, layer[n] * (_HEIGHT + _DOWN)) for n in range(len(layer))]
