"""Ray clusters of several nodes on this machine, whose nodes can be lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psutil
from ray._common.utils import reset_ray_address
from ray.cluster_utils import Cluster

_NODE_STARTS = 3  # attempts to start a node


@contextmanager
def cluster_without_cores(nodes: int, num_cpus: int, settings: Mapping[str, Any] | None = None) -> Iterator[Cluster]:
    """Yield a cluster whose head has no cores, and that commands find by its address only.

    settings: of Ray itself, by its internal names.
    """
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": dict(settings or {})})
    reset_ray_address()  # other tests on this machine start clusters too
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=num_cpus)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Cluster, num_cpus: int) -> Any:
    """Start a node. On a busy machine that may take Ray longer than it waits, so it is tried again."""
    for left in reversed(range(_NODE_STARTS)):
        try:
            return cluster.add_node(num_cpus=num_cpus)
        except Exception:  # Ray raises nothing more specific
            if not left:
                raise
    raise AssertionError("unreachable")


def children(process: psutil.Process) -> list[psutil.Process]:
    """Return all processes below one, none if it has ended."""
    with suppress(psutil.NoSuchProcess):
        return list(process.children(recursive=True))
    return []


def title(process: psutil.Process) -> str:
    """Return the title of a process, in which Ray names the actor; empty if it has ended."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return " ".join(process.cmdline())
    return ""
