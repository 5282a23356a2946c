"""Draw a graph as SVG, in layers from the image at the top to the outputs at the bottom."""

from __future__ import annotations

from collections import defaultdict
from html import escape

from predictor.graph.structure import Graph, Node

_WIDTH, _HEIGHT = 150, 30  # of a box
_GAP_X, _GAP_Y = 20, 26  # between boxes
_ORDERING_PASSES = 4
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
_OTHER_COLOUR = "#f4f4f4"


def to_svg(graph: Graph) -> str:
    """Return an SVG document: a box for every node with operation, settings and output size, a line for every edge."""
    corners = _layout(graph)
    width = max(x for x, _ in corners) + _WIDTH + _GAP_X
    height = max(y for _, y in corners) + _HEIGHT + _GAP_Y
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="sans-serif" font-size="10" text-anchor="middle">'
    ]
    for source, target in graph.edges:
        (x0, y0), (x1, y1) = corners[source], corners[target]
        start, end = (x0 + _WIDTH / 2, y0 + _HEIGHT), (x1 + _WIDTH / 2, y1)
        middle = (start[1] + end[1]) / 2
        path = f"M{start[0]:.0f},{start[1]} C{start[0]:.0f},{middle} {end[0]:.0f},{middle} {end[0]:.0f},{end[1]}"
        parts.append(f'<path d="{path}" fill="none" stroke="#888"/>')
    parts += [_box(node, corner) for node, corner in zip(graph.nodes, corners, strict=True)]
    return "\n".join([*parts, "</svg>\n"])


def _box(node: Node, corner: tuple[float, float]) -> str:
    x, y = corner
    fill = _COLOURS.get(node.op, _OTHER_COLOUR)
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


def _layout(graph: Graph) -> list[tuple[float, float]]:
    """Return left and top of every box. A node's layer is the length of the longest path from the image to it.

    Passes down and up order each layer by the mean column of the neighbours above or below (barycentre heuristic).
    """
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
    for turn in range(_ORDERING_PASSES):
        for depth in sorted(rows, reverse=turn % 2 == 1):
            neighbours = {n: (readers[n] if turn % 2 else list(graph.nodes[n].inputs)) or [n] for n in rows[depth]}
            means = {n: sum(column[m] for m in neighbours[n]) / len(neighbours[n]) for n in rows[depth]}
            for position, number in enumerate(sorted(rows[depth], key=lambda n: (means[n], n))):
                column[number] = position - (len(rows[depth]) - 1) / 2
    left = min(column.values())
    pitch = _WIDTH + _GAP_X
    return [((column[n] - left) * pitch + _GAP_X, layer[n] * (_HEIGHT + _GAP_Y)) for n in range(len(layer))]
