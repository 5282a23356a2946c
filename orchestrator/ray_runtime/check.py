"""Check every node of the Ray cluster before a campaign starts: code, folders, object stores and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ray
from ray.exceptions import NodeDiedError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.errors import ConfigError
from workers.errors import NodeError
from workers.execution.node_check import NodeNeeds, check_node, mark_folder
from workers.storage.spool import in_object_store

_TIMEOUT_S = 120.0


def node_needs(
    locations: Sequence[str],
    data: str,
    task: str,
    space: str = "",
    weights: Mapping[str, str] = MappingProxyType({}),
) -> NodeNeeds:
    """Return what a node must have: this version of the code, the locations (folders or URIs), and the task's data.

    space: from `space_message`; the user's module that builds its networks is needed too. weights: fingerprints of
    files of pretrained weights, by path.
    """
    folders = [str(Path(location).resolve()) for location in locations if not in_object_store(location)]
    uris = [location for location in locations if in_object_store(location)]
    marked = {folder: mark_folder(Path(folder)) for folder in folders}
    return NodeNeeds(marked, tuple(uris), data, task, space, weights=dict(weights))


def check_cluster(needs: NodeNeeds) -> None:
    """Check all nodes that are alive, in parallel; Ray must be initialised. Raises ConfigError for the first failure.

    Nodes that join later are checked by the first worker that starts there. The node of this process is checked in it:
    a worker would first load the same libraries, for seconds.
    """
    remote: Any = ray.remote(check_node)
    checks: dict[Any, str] = {}  # the node that runs each check
    nodes: Any = ray.nodes  # not typed
    own = ray.get_runtime_context().get_node_id()
    for node in nodes():
        if node["Alive"] and node["NodeID"] != own:
            on_node = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            check = remote.options(num_cpus=0, max_retries=0, scheduling_strategy=on_node).remote(needs)
            checks[check] = _node_name(node)
    try:
        check_node(needs)
    except NodeError as error:
        raise ConfigError(str(error)) from None
    done, pending = ray.wait(list(checks), num_returns=len(checks), timeout=_TIMEOUT_S)
    for check in done:
        _raise_for(check, checks[check])
    if pending:
        names = ", ".join(sorted(checks[check] for check in pending))
        raise ConfigError(f"{names}: no answer in {_TIMEOUT_S:g} s: restart Ray there, or take it out of the cluster")


def _raise_for(check: Any, node: str) -> None:
    """Raise ConfigError if the check of a node failed."""
    try:
        ray.get(check)
    except RayTaskError as error:
        if isinstance(error.cause, NodeError):
            raise ConfigError(str(error.cause)) from None
        raise ConfigError(_cannot_run(node, error.cause or error)) from None
    except NodeDiedError:
        return  # it has left the cluster
    except RayError as error:
        raise ConfigError(_cannot_run(node, error)) from None


def _cannot_run(node: str, error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return (
        f"{node}: cannot run this program ({text}): install it there as on the other nodes, with `ray up "
        "cluster/cluster.yaml` or by one container image"
    )


def _node_name(node: dict[str, Any]) -> str:
    return f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
