"""Actors that stay between campaigns of one session, because starting one takes longer than a cheap label."""

from __future__ import annotations

import importlib
from typing import Any


class KeptActors:
    """Actors without a job. The next campaign takes them over if it wants actors with the same settings.

    They hold their resources meanwhile. Settings are compared by equality.
    """

    def __init__(self) -> None:
        self._spec: object = None
        self._actors: list[Any] = []

    def keep(self, spec: object, actor: Any) -> None:
        """Keep a ready actor that was started with `spec`."""
        if spec != self._spec:
            self.close()
        self._spec = spec
        self._actors.append(actor)

    def take(self, spec: object) -> Any | None:
        """Return an actor that was started with `spec`, None if there is none. Any other actors are killed."""
        if spec != self._spec:
            self.close()
        return self._actors.pop() if self._actors else None

    def close(self) -> None:
        """Kill all."""
        if self._actors:
            ray: Any = importlib.import_module("ray")  # takes seconds to import, and has been if there are actors
            while self._actors:
                ray.kill(self._actors.pop(), no_restart=True)
