"""Charts as SVG in the page: matplotlib draws them, and the page's style sheet colours them, light or dark."""

from __future__ import annotations

import importlib
import itertools
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from io import StringIO
from typing import Any

from markupsafe import Markup

from orchestrator.errors import ConfigError

Axes = Any  # matplotlib has no types that mypy could check here
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_INCHES = (4.2, 3.3)
_MARGIN = 0.15  # inches
# matplotlib writes these colours, which nothing else uses; the page has variables of the same names.
INK, FAINT, GRID, PAPER = "#010203", "#010204", "#010205", "#010206"
SERIES = ("#010211", "#010212", "#010213", "#010214", "#010215", "#010216")
_VARIABLES = {INK: "ink", FAINT: "faint", GRID: "grid", PAPER: "paper"}
_VARIABLES |= {colour: f"series-{number}" for number, colour in enumerate(SERIES)}
_STYLE = {
    "svg.fonttype": "none",  # text stays text, in the page's font
    "text.parse_math": False,  # names in a store may have dollar signs
    "font.size": 10,
    "font.family": "DejaVu Sans",  # for the layout; it is wider than the fonts that pages use
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "lines.linewidth": 1.4,
    "hatch.linewidth": 0.6,
    "axes.formatter.useoffset": False,
}
_MAX_NAME = 40
_MOST_STEPS = 5  # between ticks of a horizontal axis
_INCHES_A_STEP = 0.6  # least width
_drawn = itertools.count()


def require_matplotlib() -> None:
    """Raise ConfigError if charts cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise ConfigError("report: charts need matplotlib: pip install 'aiop-orchestrator[plots]'")


def draw_chart(
    draw: Callable[[Axes], None], description: str, links: Mapping[str, str] | None = None, height: float = 1.0
) -> Markup:
    """Return a chart as an SVG element.

    draw: gets the axes; it names both, with units. description: for readers who cannot see it. links: the name of each
    link, by its target, that `draw` gave to points with `set_urls`. height: relative to the usual one.
    """
    matplotlib = importlib.import_module("matplotlib")
    figures = importlib.import_module("matplotlib.figure")
    with matplotlib.rc_context(_STYLE):
        figure = figures.Figure(figsize=(_INCHES[0], _INCHES[1] * height), layout="constrained")
        figure.get_layout_engine().set(w_pad=_MARGIN, h_pad=_MARGIN / 2)  # room for half of the last tick's label
        axes = figure.subplots()
        draw(axes)
        _space_ticks(figure, axes)
        handles, labels = axes.get_legend_handles_labels()
        if labels:
            figure.legend(handles, labels, loc="outside upper left", ncols=2, borderaxespad=0.2, columnspacing=1.2)
        text = StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _as_element(text.getvalue(), description, dict(links or {}))


def _space_ticks(figure: Any, axes: Axes) -> None:
    """Put few ticks on a horizontal axis of numbers, so that labels such as 0.3875 do not touch."""
    ticker = importlib.import_module("matplotlib.ticker")
    if isinstance(axes.xaxis.get_major_locator(), ticker.AutoLocator):
        figure.draw_without_rendering()  # long labels of the vertical axis leave little width
        fitting = int(axes.get_window_extent().width / figure.dpi / _INCHES_A_STEP)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(min(max(fitting, 1), _MOST_STEPS), steps=[1, 2, 2.5, 5, 10]))


def plain(name: str, limit: int = _MAX_NAME) -> str:
    """Return a name of the store for a chart: one line of printable characters, at most `limit`."""
    text = "".join(character if character.isprintable() else " " for character in name)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def use_amounts(axes: Axes, amounts: Sequence[float]) -> None:
    """Give the horizontal axis, of positive amounts such as FLOPs, ticks with units: 50 M, 1 G.

    It is logarithmic if the amounts differ by more than a factor of ten.
    """
    ticker = importlib.import_module("matplotlib.ticker")
    low, high = min(amounts), max(amounts)
    if low > 0 and high > 10 * low:
        axes.set_xscale("log")
        steps = (1.0,) if high > 100 * low else (1.0, 2.0, 5.0)
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=steps, numticks=8))
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    else:
        axes.xaxis.set_major_locator(ticker.MaxNLocator(_MOST_STEPS))
    axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=" "))


def bars_height(count: int) -> float:
    """Return the relative height of a chart with so many horizontal bars."""
    return min(1.6, 0.45 + 0.09 * count)


def _as_element(svg: str, description: str, links: dict[str, str]) -> Markup:
    """Return the SVG for the inside of a page, where ids must be unique and colours come from variables."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root, prefix = ElementTree.fromstring(svg), f"chart{next(_drawn)}-"
    for child in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(child)
    _make_ids_unique(root, prefix)
    for element in root.iter():
        style = element.get("style")
        if style:
            element.set("style", _with_variables(style))
    linked = _name_links(root, links)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "group" if linked else "img")
    root.set("aria-label", description)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _make_ids_unique(root: ElementTree.Element, prefix: str) -> None:
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, prefix + value)
            elif name == f"{{{_XLINK}}}href" and value.startswith("#") and element.tag == f"{{{_SVG}}}use":
                element.set(name, f"#{prefix}{value[1:]}")
            elif name == "clip-path":
                element.set(name, value.replace("url(#", f"url(#{prefix}"))


def _with_variables(style: str) -> str:
    """Return a style with the page's variables in place of the reserved colours, and its fonts without a family."""
    for colour, name in _VARIABLES.items():
        style = style.replace(colour, f"var(--{name})")
    style = re.sub(r"font: ([\d.]+px) [^;]*", r"font-size: \1", style)
    return re.sub(r"font-family: [^;]*;? ?", "", style)


def _name_links(root: ElementTree.Element, links: dict[str, str]) -> bool:
    """Name each link, and hide all else from screen readers, which have the tables. Return whether there are any."""
    found = False
    for link in root.iter(f"{{{_SVG}}}a"):
        target, found = link.attrib.pop(f"{{{_XLINK}}}href"), True
        link.set("href", target)
        link.set("aria-label", links[target])
        title = ElementTree.SubElement(link, f"{{{_SVG}}}title")
        title.text = links[target]
    if found:
        for text in root.iter(f"{{{_SVG}}}text"):
            text.set("aria-hidden", "true")
    return found
