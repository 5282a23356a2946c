"""Every node of the Ray cluster is asked whether it can make a campaign's labels, before one is begun."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import NodeDiedError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.errors import ConfigError
from workers.errors import NodeError
from workers.execution.node_check import NodeNeeds, check_node, mark_folder
from workers.storage.spool import in_object_store

_ANSWER_S = 120.0


def node_needs(places: Sequence[str], data: str, task: str) -> NodeNeeds:
    """What workers need: this program's code, folders as this machine sees them or object stores, a task's data."""
    folders = [str(Path(place).resolve()) for place in places if not in_object_store(place)]
    objects = [place for place in places if in_object_store(place)]
    return NodeNeeds({folder: mark_folder(Path(folder)) for folder in folders}, tuple(objects), data, task)


def check_cluster(needs: NodeNeeds) -> None:
    """Ask all living nodes at once; Ray must be initialised. Raises ConfigError for the first that lacks something.

    Nodes that join later are asked by the first worker that is born there.
    """
    remote: Any = ray.remote(check_node)
    asked: dict[Any, str] = {}
    nodes: Any = ray.nodes  # not typed
    for node in nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[remote.options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote(needs)] = _name(node)
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_S)
    for answer in answered:
        _raise_for(answer, asked[answer])
    if silent:
        names = ", ".join(sorted(asked[answer] for answer in silent))
        raise ConfigError(f"{names}: no answer in {_ANSWER_S:g} s: restart Ray there, or take it out of the cluster")


def _raise_for(answer: Any, node: str) -> None:
    try:
        ray.get(answer)
    except RayTaskError as error:
        if isinstance(error.cause, NodeError):
            raise ConfigError(str(error.cause)) from None
        raise ConfigError(_broken(node, error.cause or error)) from None
    except NodeDiedError:
        return  # no part of the cluster any more
    except RayError as error:
        raise ConfigError(_broken(node, error)) from None


def _broken(node: str, error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return (
        f"{node}: cannot run this program ({text}): install it there as on the others, with `ray up "
        "cluster/cluster.yaml` or by one container image"
    )


def _name(node: dict[str, Any]) -> str:
    return f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
