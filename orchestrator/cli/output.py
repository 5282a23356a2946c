"""What commands print: results on stdout, all else on stderr; a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from orchestrator.campaign.progress import CampaignProgress
from workers.supernet.preparation_step import PreparationStep

_err = Console(stderr=True, highlight=False, soft_wrap=True)
_out = Console(highlight=False, soft_wrap=True)
_PLAIN_EVERY_S = 15.0
_PLAIN_STILL_S = 60.0  # that long without a word, and one would think it hangs


def say(text: str) -> None:
    """A line of news on stderr."""
    _err.print(text, markup=False)


def emit(document: dict[str, Any], as_json: bool) -> None:
    """The result of a command: one JSON document, or a table of its fields."""
    if as_json:
        print(json.dumps(document), flush=True)
        return
    table = Table(show_header=False)
    for name, value in document.items():
        if value == {}:  # nothing of that kind was asked for
            continue
        table.add_row(name.replace("_", " "), _text(value))
    _out.print(table)


def clear_screen() -> None:
    """Before the next look at the same thing; nothing where stdout is no terminal."""
    if _out.is_terminal:
        _out.clear()


def emit_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Rows with equal columns: a JSON list, or a table."""
    if as_json:
        print(json.dumps(rows))
        return
    table = Table()
    for name in rows[0] if rows else ["no rows"]:
        table.add_column(name)
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    _out.print(table)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    return "-" if value is None else str(value)


@contextmanager
def progress_display(total: int) -> Iterator[Callable[[CampaignProgress], None]]:
    """An observer for a campaign: labels done, failed and in flight, labels an hour, time to go, utilisation."""
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
    """Shows what is being prepared: its part, steps and loss."""
    with _steps_display("preparing", 0.0) as show:
        yield lambda step: show(_describe_step(step), step.step, step.steps)


@contextmanager
def counting_display(what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how many of how many are done."""
    with _steps_display(what, time.monotonic()) as show:
        yield lambda done, total: show(f"{done} of {total} {what}", done, total)


@contextmanager
def stages_display(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """Shows the stage that something long is in, and how many of its epochs are done."""
    with _steps_display(what, 0.0) as show:
        yield lambda stage, done, total: show(f"{what} {stage}: epoch {done} of {total}", done, total)


@contextmanager
def _steps_display(first: str, said: float) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, else a line every few seconds. first: what it begins with. said: when last a line was."""
    if not _err.is_terminal:
        last = said

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


def _describe_step(step: PreparationStep) -> str:
    return f"preparing {step.part}: step {step.step} of {step.steps}, loss {step.loss:.3f}"


class _PlainLines:
    """One line when a count has changed, at most every few seconds; and one a minute in any case."""

    def __init__(self, total: int, start: float) -> None:
        self._total, self._start = total, start
        self._last, self._shown = 0.0, (-1, -1, -1)

    def __call__(self, counts: CampaignProgress) -> None:
        now, state = time.monotonic(), (counts.done, counts.failed, counts.in_flight)
        if now - self._last >= (_PLAIN_STILL_S if state == self._shown else _PLAIN_EVERY_S):
            self._last, self._shown = now, state
            say(_describe(counts, self._total, self._start))


def _describe(counts: CampaignProgress, total: int, start: float) -> str:
    hours = (time.monotonic() - start) / 3600
    rate = counts.done / hours if counts.done else 0.0
    left = f"{(counts.todo + counts.in_flight) / rate * 60:.0f} min to go" if rate else "no rate yet"
    starting = f"{counts.starting} workers starting, " if counts.starting else ""
    return (
        f"{counts.state}: {counts.done}/{total} done, {counts.failed} failed, {counts.in_flight} in flight, "
        f"{starting}{rate:.0f} labels/h, {left}, {counts.utilisation:.0%} busy"
    )
