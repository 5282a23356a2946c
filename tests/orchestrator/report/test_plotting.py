"""Charts of the report."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from orchestrator.report.plotting import draw_chart


@pytest.mark.parametrize(("low", "high"), [(0.3842, 0.3981), (0.0, 1.0), (-3.2, 187.5), (-1.0, 1.0)])
@pytest.mark.parametrize("name", ["", "FLOPs at 1/16 of the image's side"])
def test_labels_of_ticks_do_not_touch(low: float, high: float, name: str) -> None:
    drawn: list[Any] = []

    def draw(axes: Any) -> None:
        axes.scatter([low, high], [low, high])
        if name:
            axes.set_yticks([low], [name])  # leaves a third of the width
        drawn.append(axes)

    draw_chart(draw, "two points")
    (axes,) = drawn
    left, right = axes.get_xlim()
    boxes = [t.get_window_extent() for t in axes.get_xticklabels() if left <= t.get_position()[0] <= right]
    assert len(boxes) >= (2 if name else 3)
    gap = 15 if name else 20  # pixels; a label is 14 high
    assert all(first.x1 + gap < second.x0 for first, second in pairwise(boxes))
