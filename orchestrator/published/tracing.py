"""Networks traced on all cores of the Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from orchestrator.published.importing import Named, Traced, trace_chunk
from orchestrator.ray_runtime.session import cluster_cores, ray_session

_AHEAD = 2  # chunks a core that wait or run


def trace_chunks(chunks: Sequence[list[Named]], jobs: int | None = None) -> Iterator[list[Traced]]:
    """`trace_chunk` of every chunk, as they are done; Ray is joined or started, unless there is nothing to do.

    jobs: chunks at once; None: as many as there are cores; 1: in this process, without Ray. A chunk whose worker dies
    again and again is given back with that as the reason.
    """
    if jobs == 1:
        yield from map(trace_chunk, chunks)
    elif chunks:
        with ray_session():
            yield from _traced(chunks, jobs or _AHEAD * max(1, int(cluster_cores())))


def _traced(chunks: Sequence[list[Named]], most: int) -> Iterator[list[Traced]]:
    remote: Any = ray.remote(trace_chunk)
    waiting, running = list(reversed(chunks)), dict[Any, list[Named]]()
    while waiting or running:
        while waiting and len(running) < most:
            chunk = waiting.pop()
            running[remote.options(num_cpus=1).remote(chunk)] = chunk
        done, _ = ray.wait(list(running), num_returns=1)
        for reference in done:
            chunk = running.pop(reference)
            try:
                yield ray.get(reference)
            except RayError as error:
                text = " ".join(str(error).split())[:200]
                yield [(name, "", f"the worker that built it was lost ({text}): import it alone") for name in chunk]
