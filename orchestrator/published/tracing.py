"""Trace networks on all cores of the Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from orchestrator.published.importing import TraceInput, TraceResult, trace_chunk
from orchestrator.ray_runtime.resources import cluster_cores
from orchestrator.ray_runtime.session import ray_session

_CHUNKS_PER_CORE = 2  # submitted to Ray, running or waiting


def trace_chunks(chunks: Sequence[list[TraceInput]], jobs: int | None = None) -> Iterator[list[TraceResult]]:
    """Apply `trace_chunk` to every chunk and yield the results as they finish. Connects to Ray or starts it if needed.

    jobs: number of chunks at the same time; None: two per core of the cluster; 1: in this process, without Ray. If the
    worker of a chunk dies repeatedly, its networks are traced one by one, and those that fail again are returned
    with that as the error.
    """
    if jobs == 1:
        yield from map(trace_chunk, chunks)
    elif chunks:
        with ray_session():
            yield from _trace_on_ray(chunks, jobs or _CHUNKS_PER_CORE * max(1, int(cluster_cores())))


def _trace_on_ray(chunks: Sequence[list[TraceInput]], max_submitted: int) -> Iterator[list[TraceResult]]:
    remote: Any = ray.remote(trace_chunk)
    waiting, running = list(reversed(chunks)), dict[Any, list[TraceInput]]()
    while waiting or running:
        while waiting and len(running) < max_submitted:
            chunk = waiting.pop()
            running[remote.options(num_cpus=1).remote(chunk)] = chunk
        done, _ = ray.wait(list(running), num_returns=1)
        for reference in done:
            chunk = running.pop(reference)
            try:
                yield ray.get(reference)
            except RayError as error:
                if len(chunk) > 1:  # one network must not cost the others
                    waiting += [[network] for network in chunk]
                    continue
                text = " ".join(str(error).split())[:200]
                reason = f"the worker that built it was lost ({text}): import it on a machine with more memory"
                yield [TraceResult(network, "", reason) for network in chunk]
