"""Labels of a campaign that reach the store without an answer of its workers: they need not be made."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Protocol

from orchestrator.store.committer_process import Drained
from workers.messages.label import LabelRequest


class Waiting(Protocol):
    """What a controller knows of the labels that wait for a worker."""

    @property
    def waiting(self) -> Sequence[str]:
        """Keys of all of them."""
        ...

    @property
    def repeated(self) -> Sequence[str]:
        """Keys of those that were tried before."""
        ...


class StoredMeanwhile:
    """Asks the store for labels that wait, when there may be some.

    If another campaign has committed, all of them are looked up. Otherwise only those that were tried before: a worker
    may have died after it had put its report into the spool.
    """

    def __init__(
        self, requests: Sequence[LabelRequest], waiting: Waiting, labelled: Callable[[Set[str]], Set[str]]
    ) -> None:
        """labelled: returns those of some keys that the store has."""
        self._keys = {request.key: frozenset(request.keys) for request in requests}
        self._waiting, self._labelled = waiting, labelled
        self._rows: int | None = None

    def after(self, drained: Drained) -> tuple[str, ...]:
        """Return the keys of the waiting labels that are in the store after a commit."""
        others = self._rows is None or drained.rows != self._rows + drained.labels
        self._rows = drained.rows
        asked = self._waiting.waiting if others else self._waiting.repeated if drained.labels else ()
        if not asked:
            return ()
        found = self._labelled(frozenset[str]().union(*(self._keys[key] for key in asked)))
        return tuple(key for key in asked if self._keys[key] <= found)
