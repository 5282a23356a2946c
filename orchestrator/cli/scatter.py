"""A scatter plot in the terminal: value against FLOPs, with the networks that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from orchestrator.number_text import si_number

_LEAST = 3  # fewer points show nothing that the table does not
_NARROWEST, _WIDEST, _HEIGHT = 50, 100, 15  # characters
_TICKS = 4


def print_scatter(console: Console, points: Sequence[tuple[float, float]], metric: str) -> None:
    """Plot (FLOPs, value) pairs; higher values are better.

    Nothing is printed where a picture of characters is no help: on a pipe, on a terminal that is narrow, dumb or
    cannot show the frame, and for fewer than three different points.
    """
    if not _can_show(console) or len(set(points)) < _LEAST:
        return
    # The library is imported where it is used, because it takes longer to load than most commands.
    import numpy as np
    import plotext

    from orchestrator.search.front import on_front

    flops, values = (np.array(axis, dtype=float) for axis in zip(*points, strict=True))
    best = on_front(values, flops)
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(min(console.width, _WIDEST), _HEIGHT)
    for chosen, marker in ((~best, "○"), (best, "●")):
        if chosen.any():
            plotext.scatter(flops[chosen].tolist(), values[chosen].tolist(), marker=marker)
    ticks = np.linspace(flops.min(), flops.max(), _TICKS).tolist()
    plotext.xticks(ticks, [si_number(tick) for tick in ticks])
    plotext.xlabel("FLOPs  (● no network has a higher value at fewer FLOPs)")
    plotext.ylabel(metric)
    console.print(plotext.uncolorize(plotext.build()).rstrip(), markup=False, highlight=False)


def _can_show(console: Console) -> bool:
    fits = console.is_terminal and not console.is_dumb_terminal and console.width >= _NARROWEST
    return fits and (console.encoding or "").lower().replace("-", "").startswith("utf")
