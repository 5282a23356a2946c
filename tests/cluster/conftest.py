"""The test cluster, started once per session with the commands that users run."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.cluster_rig import Rig, missing_requirements


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Three machines, after `ray up`."""
    if reason := missing_requirements():
        pytest.skip(f"no test cluster: {reason}")
    rig = Rig(tmp_path_factory.mktemp("rig"))
    start_time = time.monotonic()
    try:
        rig.start()
        rig.run("ray", "up", "--yes", "--no-config-cache", "cluster/rig.yaml")
        rig.wait_for_nodes(3)
        print(f"\nray up, until three nodes joined: {time.monotonic() - start_time:.0f} s")
        yield rig
    finally:
        rig.close()
