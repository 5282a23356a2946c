"""What commands print: results on stdout, all else on stderr; live progress on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from orchestrator.campaign.progress import CampaignProgress
from orchestrator.cli.scatter import print_scatter
from orchestrator.cli.tables import Column, print_fields, print_table
from workers.supernet.preparation_step import PreparationStep

_err = Console(stderr=True, highlight=False, soft_wrap=True)
_out = Console(highlight=False, soft_wrap=True)
_PLAIN_EVERY_S = 15.0
_PLAIN_UNCHANGED_S = 60.0  # after a longer silence users think that the program hangs


def say(text: str) -> None:
    """Print one line on stderr."""
    _err.print(text, markup=False)


def emit(document: dict[str, Any], as_json: bool, title: str = "") -> None:
    """Print the result of a command: one JSON document, or its fields, each nested one as a separate table.

    Empty mappings are left out of the text.
    """
    if as_json:
        print(json.dumps(document), flush=True)
        return
    print_fields(_out, {name: value for name, value in document.items() if value != {}}, title)


def emit_rows(
    rows: Sequence[Mapping[str, Any]], as_json: bool, columns: Sequence[Column] = (), title: str = ""
) -> None:
    """Print rows with equal columns: a JSON list, or a table of `columns`, by default of all."""
    if as_json:
        print(json.dumps(list(rows)))
    elif rows:
        print_table(_out, rows, columns or [Column(name) for name in rows[0]], title)
    else:
        say(f"{title}: no rows" if title else "no rows")


def emit_scatter(points: Sequence[tuple[float, float]], metric: str) -> None:
    """Plot (FLOPs, value) pairs if stdout is a terminal that can show them."""
    print_scatter(_out, points, metric)


def clear_screen() -> None:
    """Clear the terminal before the next report; do nothing if stdout is not a terminal."""
    if _out.is_terminal:
        _out.clear()


@contextmanager
def progress_display(total: int) -> Iterator[Callable[[CampaignProgress], None]]:
    """Show a campaign's progress: labels done, failed and in flight, labels per hour, time left, utilisation."""
    start = time.monotonic()
    if not _err.is_terminal:
        yield _PlainLines(total, start)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_err) as bar:
        line = bar.add_task("starting", total=total)

        def show(counts: CampaignProgress) -> None:
            bar.update(line, description=_describe(counts, total, start), completed=counts.done + counts.failed)

        yield show


@contextmanager
def preparation_display() -> Iterator[Callable[[PreparationStep], None]]:
    """Show the progress of a preparation: its part, steps and loss."""
    with _steps_display("preparing", 0.0) as show:
        yield lambda step: show(_describe_step(step), step.step, step.steps)


@contextmanager
def counting_display(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many items of a total are done."""
    with _steps_display(what, time.monotonic()) as show:
        yield lambda done, total: show(f"{done} of {total} {what}", done, total)


def say_some(what: str, every: int = 100) -> Callable[[int, int], None]:
    """Return a function that says how many items of a total are done, at every `every` items."""

    def show(done: int, total: int) -> None:
        if done % every == 0:
            say(f"{done} of {total} {what}")

    return show


@contextmanager
def bytes_display() -> Iterator[Callable[[int, int], None]]:
    """Show how many bytes of a total are downloaded; a total of 0 is unknown."""
    with _steps_display("downloading", time.monotonic()) as show:
        yield lambda done, total: show(_describe_bytes(done, total), done, total)


@contextmanager
def stages_display(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show the stage of a training and how many of its epochs are done."""
    with _steps_display(what, 0.0) as show:
        yield lambda stage, done, total: show(f"{what} {stage}: epoch {done} of {total}", done, total)


@contextmanager
def _steps_display(first: str, last: float) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, else a line every few seconds. first: the bar's first text. last: time of a line."""
    if not _err.is_terminal:

        def line(text: str, done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _PLAIN_EVERY_S:
                last = now
                say(text)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_err) as bar:
        task = bar.add_task(first, total=None)
        yield lambda text, done, total: bar.update(task, description=text, completed=done, total=total)


def _describe_bytes(done: int, total: int) -> str:
    of_total = f" of {total / 1e6:.1f}" if total else ""
    return f"downloading: {done / 1e6:.1f}{of_total} MB"


def _describe_step(step: PreparationStep) -> str:
    return f"preparing {step.part}: step {step.step} of {step.steps}, loss {step.loss:.3f}"


class _PlainLines:
    """A line when a count has changed, at most every few seconds, and one every minute in any case."""

    def __init__(self, total: int, start: float) -> None:
        self._total, self._start = total, start
        self._last, self._shown = 0.0, (-1, -1, -1)

    def __call__(self, counts: CampaignProgress) -> None:
        now, state = time.monotonic(), (counts.done, counts.failed, counts.in_flight)
        if now - self._last >= (_PLAIN_UNCHANGED_S if state == self._shown else _PLAIN_EVERY_S):
            self._last, self._shown = now, state
            say(_describe(counts, self._total, self._start))


def _describe(counts: CampaignProgress, total: int, start: float) -> str:
    hours = (time.monotonic() - start) / 3600
    rate = counts.done / hours if counts.done else 0.0
    left = f"{(counts.todo + counts.in_flight) / rate * 60:.0f} min left" if rate else "no rate yet"
    starting = f"{counts.starting} workers starting, " if counts.starting else ""
    return (
        f"{counts.state}: {counts.done}/{total} done, {counts.failed} failed, {counts.in_flight} in flight, "
        f"{starting}{rate:.0f} labels/h, {left}, {counts.utilisation:.0%} busy"
    )
