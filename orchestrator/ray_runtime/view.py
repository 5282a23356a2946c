"""A summary of the running Ray cluster for `orchestrator status`."""

from __future__ import annotations

import importlib
import logging
import os
from contextlib import suppress
from typing import Any

from orchestrator.ray_runtime.session import check_reachable


def cluster_summary() -> dict[str, Any]:
    """Return nodes, cores and GPUs in use, and label workers, of the cluster of RAY_ADDRESS or of this machine.

    Never starts Ray: empty if no cluster runs, `problem` alone if the cluster of RAY_ADDRESS cannot be joined. The
    connection stays open for the next call.
    """
    ray: Any = importlib.import_module("ray")  # takes a second to import
    address = os.environ.get("RAY_ADDRESS")
    try:
        if not ray.is_initialized():
            check_reachable(address)
            ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.CRITICAL)
        total, free = dict(ray.cluster_resources()), dict(ray.available_resources())
        return {
            "nodes": sum(bool(node["Alive"]) for node in ray.nodes()),
            **{f"{kind.lower()}s": _used(kind, total, free) for kind in ("CPU", "GPU") if total.get(kind)},
            "label_workers": sum(name.startswith("label-") for name in _named_actors()),
        }
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        with suppress(Exception):  # a broken connection would fail in the same way at the next call
            ray.shutdown()
        return {"problem": f"RAY_ADDRESS={address}: {' '.join(str(error).split())[:200]}"} if address else {}


def _used(kind: str, total: dict[str, float], free: dict[str, float]) -> str:
    return f"{total[kind] - free.get(kind, 0.0):g} of {total[kind]:g} in use"


def _named_actors() -> list[str]:
    util: Any = importlib.import_module("ray.util")
    return [str(actor["name"]) for actor in util.list_named_actors(all_namespaces=True)]
