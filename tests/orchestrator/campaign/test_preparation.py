"""What the actor that prepares shared weights and heads reserves."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.campaign.preparation import node_share, trained_alone
from orchestrator.errors import ConfigError
from orchestrator.ray_runtime.resources import most_resources
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe, load_shared_recipe
from workers.spaces import get_space

CPU_NODE, GPU_NODE = {"CPU": 64.0}, {"CPU": 4.0, "GPU": 2.0}


def recipe(which: str = "laptop", **changes: Any) -> SharedRecipe:
    return load_shared_recipe(which, "seg", "mobilenetv3", changes)


@pytest.mark.parametrize(
    ("prepared", "needs"),
    [
        (recipe(), {"CPU": 2.0}),
        (recipe("gpu"), {"CPU": 8.0, "GPU": 1.0}),
        (recipe(shared_head={"gpus": 0.5, "memory_mb": 1}), {"CPU": 2.0, "GPU": 0.5, "memory": 2.0**20}),
        (recipe(supernet={"gpus": 1}, shared_head={"gpus": 0.5, "cpus": 3}), {"CPU": 3.0, "GPU": 1.0}),
        (recipe(supernet={"gpus": 1, "workers": 2}, shared_head={"gpus": 0.5}), {"CPU": 1.0, "GPU": 0.5}),
        (recipe(supernet={"gpus": 1}, shared_head={"gpus": 2, "method": "none"}), {"CPU": 2.0, "GPU": 1.0}),
        (recipe(supernet={"workers": 2}, shared_head={"method": "none"}), {}),
    ],
)
def test_a_preparation_reserves_enough_for_each_part(prepared: SharedRecipe, needs: dict[str, float]) -> None:
    assert most_resources(trained_alone(prepared)) == needs


def test_cores_are_limited_to_those_of_a_node_with_the_gpu() -> None:
    chosen = recipe("gpu")
    request = LabelRequest(next(get_space("mobilenetv3").sequence(0)), "seg", "shapes", "f", "shared", chosen, 0)
    assert node_share({"CPU": 8.0, "GPU": 1.0}, [CPU_NODE, GPU_NODE], request) == {"CPU": 4.0, "GPU": 1.0}
    assert node_share({"CPU": 8.0}, [CPU_NODE, GPU_NODE], request) == {"CPU": 8.0}
    with pytest.raises(ConfigError, match=r"preparing seg on mobilenetv3 needs 1 GPU on one node, .*supernet.gpus=0"):
        node_share({"CPU": 8.0, "GPU": 1.0}, [CPU_NODE], request)
