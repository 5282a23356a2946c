"""What fits on the nodes of a cluster, and waiting for nodes that join."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.errors import ConfigError
from orchestrator.ray_runtime import resources
from orchestrator.ray_runtime.resources import actors_that_fit, check_recipe_fits, most_resources, nodes_that_hold
from workers.messages.recipe import Recipe

SMALL, LARGE = {"CPU": 1.0}, {"CPU": 4.0, "GPU": 1.0}
RECIPE = Recipe(name="r", task="seg", gpus=0.5)


@pytest.mark.parametrize(
    ("needs", "nodes", "fit"),
    [
        ({"CPU": 1}, [{"CPU": 4.0}], 4),
        ({"CPU": 3}, [{"CPU": 8.0}], 2),
        ({"CPU": 3}, [{"CPU": 8.0}, {"CPU": 4.0}, {"CPU": 2.0}, {}], 3),
        ({"CPU": 1, "GPU": 0.25}, [{"CPU": 16.0, "GPU": 2.0}], 8),
        ({"CPU": 1, "GPU": 1}, [{"CPU": 16.0}, {"CPU": 4.0, "GPU": 1.0}], 1),
        ({"CPU": 0.5}, [{"CPU": 1.0}], 2),
        ({"CPU": 1, "memory": 4e9}, [{"CPU": 16.0, "memory": 9e9}], 2),
    ],
)
def test_as_many_workers_as_fit(needs: dict[str, float], nodes: list[dict[str, float]], fit: int) -> None:
    assert actors_that_fit(needs, nodes) == fit


def test_an_actor_reserves_enough_for_every_recipe_of_its_campaign() -> None:
    small = Recipe(name="s", task="seg", cpus=1, memory_mb=2048)
    large = Recipe(name="l", task="seg", cpus=0.5, gpus=0.25)
    assert most_resources([small, large]) == {"CPU": 1.0, "GPU": 0.25, "memory": 2.0**31}
    assert small.hash == Recipe(name="s", task="seg").hash  # where a label is made does not change what it means


def test_a_recipe_too_large_for_the_cluster_is_refused() -> None:
    recipe = Recipe(name="r", task="seg", gpus=0.5)
    with pytest.raises(ConfigError, match=r"needs 0.5 GPU per worker, the largest node has 0: choose another recipe"):
        check_recipe_fits(recipe, [{"CPU": 4.0}])
    with pytest.raises(ConfigError, match=r"needs 1 CPU and 0.5 GPU per worker, no node has all of it"):
        check_recipe_fits(recipe, [{"CPU": 4.0}, {"GPU": 4.0}])
    recipe = Recipe(name="r", task="seg", memory_mb=4096)
    with pytest.raises(
        ConfigError, match=r"needs 4096 MB of memory per worker, the largest node has 1024: .*memory_mb=N"
    ):
        check_recipe_fits(recipe, [{"CPU": 4.0, "memory": 2.0**30}])


class _Cluster:
    """Nodes that join while a command waits. Each sleep takes its time on a simulated clock."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *states: Sequence[dict[str, float]], joined: bool = True
    ) -> None:
        """states: the nodes at each look, the last one for all further looks. joined: by RAY_ADDRESS."""
        self.now, self.asked, self._states = 0.0, list[Any](), list(states)
        if joined:
            monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
        else:
            monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.setattr(resources, "node_resources", self._look)
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr(resources, "time", clock)  # not in the module, which Ray's threads use too
        monkeypatch.setattr("ray.autoscaler.sdk.request_resources", lambda bundles: self.asked.append(bundles))

    def _look(self) -> dict[str, dict[str, float]]:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return {str(number): node for number, node in enumerate(state)}

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_cluster_is_asked_for_a_missing_node(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = _Cluster(monkeypatch, [SMALL], [SMALL, SMALL], [SMALL, LARGE])
    assert list(nodes_that_hold([RECIPE])) == [SMALL, LARGE]
    assert cluster.asked == [[{"CPU": 1.0, "GPU": 0.5}], []]  # then the campaign's workers keep the node
    (message,) = caplog.messages
    assert message.startswith("recipe r needs 0.5 GPU per worker, the largest node has 0: ")
    assert message.endswith("; waiting up to 10 minutes for nodes that join")


def test_waiting_for_a_node_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = _Cluster(monkeypatch, [SMALL])
    with pytest.raises(ConfigError, match="the largest node has 0"):
        nodes_that_hold([RECIPE])
    assert 600 <= cluster.now < 610
    assert cluster.asked[-1] == []


def test_a_local_ray_gets_no_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = _Cluster(monkeypatch, [SMALL], joined=False)
    with pytest.raises(ConfigError, match="the largest node has 0"):
        nodes_that_hold([RECIPE])
    assert cluster.now == 0
    assert not cluster.asked


def test_nodes_that_suffice_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = _Cluster(monkeypatch, [SMALL, LARGE])
    assert list(nodes_that_hold([RECIPE])) == [SMALL, LARGE]
    assert cluster.now == 0
    assert not cluster.asked
