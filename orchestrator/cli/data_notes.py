"""What checks of data sets count as left out: a line on stderr each, and part of the summary."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.cli.output import say


@contextmanager
def data_notes() -> Iterator[list[str]]:
    """Collect the notes of the checks inside, and say them at the end unless an error is raised."""
    from workers.data import DataWarning  # loads torch, which takes seconds

    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        yield notes
    for warning in caught:
        if issubclass(warning.category, DataWarning):
            notes += [note for note in str(warning.message).split("; ") if note not in notes]
        else:
            warnings.showwarning(warning.message, warning.category, warning.filename, warning.lineno)
    for note in notes:
        say(f"note: {note}")
